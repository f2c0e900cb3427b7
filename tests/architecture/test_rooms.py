"""A room imports only from the rooms that README's table gives it; function-level, typing-only and lazy imports count."""

import ast
import re
from collections.abc import Iterator, Mapping

ROOT_FILES = frozenset({"archives", "documents", "errors", "files", "surroundings", "tensorfile"})
FACADE = frozenset({"__init__.py", "__main__.py"})

Trees = Mapping[str, ast.Module]
Permitted = Mapping[str, frozenset[str]]


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a file imports, also by a name handed to importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"spikequant(\.\w+)+", node.value):
            yield node.lineno, node.value


def room_of(path: str) -> str:
    """The room of a source file; a root file is its own: ``errors.py`` is ``errors``."""
    return path.partition("/")[0].removesuffix(".py")


def trespasses(trees: Trees, permitted: Permitted) -> list[str]:
    return [
        f"{path}:{line}: {room_of(path)} may not import {name}"
        for path, tree in trees.items()
        if path not in FACADE
        for line, name in imported(tree)
        if not allowed(room_of(path), name, permitted)
    ]


def allowed(room: str, name: str, permitted: Permitted) -> bool:
    package, *inside = name.split(".")
    if package != "spikequant":
        return package != ""  # the empty package is a relative import
    target = inside[0] if inside else ""
    if room in ROOT_FILES:
        return target in ROOT_FILES
    return target in permitted[room] | ROOT_FILES | {room, "__version__"}


def torch_where_refused(trees: Trees, charters: Mapping[str, str]) -> list[str]:
    refusing = {room for room, charter in charters.items() if "No torch." in charter}
    return [
        f"{path}:{line}: the charter of {room_of(path)} says no torch"
        for path, tree in trees.items()
        if room_of(path) in refusing
        for line, name in imported(tree)
        if name.partition(".")[0] == "torch"
    ]


def climbs(permitted: Permitted, floors: Mapping[str, int]) -> list[str]:
    return [
        f"{room} on floor {floors[room]} may import {other} on floor {floors[other]}"
        for room, others in permitted.items()
        for other in sorted(others)
        if floors[other] >= floors[room]
    ]


def test_rooms_import_as_the_table_says(trees: Trees, permitted: Permitted) -> None:
    assert trespasses(trees, permitted) == []


def test_rooms_whose_charter_refuses_torch_do_not_import_it(trees: Trees, charters: Mapping[str, str]) -> None:
    assert torch_where_refused(trees, charters) == []


def test_table_and_drawing_name_the_same_rooms_and_only_lower_floors_are_permitted(permitted: Permitted, floors: Mapping[str, int]) -> None:
    assert len(permitted) == 12
    assert permitted.keys() == floors.keys()
    assert climbs(permitted, floors) == []


def test_table_is_read_as_written(permitted: Permitted) -> None:
    assert permitted["numerics"] == frozenset()
    assert permitted["recipes"] == {"numerics", "quantizers", "neurons", "models"}
    assert "numerics" not in permitted["studies"]
    assert {"data", "deploy", "search", "training"} <= permitted["studies"]


def test_every_way_to_trespass_is_seen(permitted: Permitted) -> None:
    ways = [
        "from spikequant.views.main import main",
        "import spikequant.views",
        "from spikequant import views",
        "def late():\n    from spikequant.views import main",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spikequant.views import main",
        "import importlib\nimportlib.import_module('spikequant.views')",
        "from . import grid",
        "from ..views import main",
        "import spikequant as sq",
        "from spikequant import quantize",
    ]
    for way in ways:
        assert len(trespasses({"numerics/grid.py": ast.parse(way)}, permitted)) == 1, way
        assert len(trespasses({"errors.py": ast.parse(way)}, permitted)) == 1, way


def test_permitted_imports_are_let_through(permitted: Permitted) -> None:
    ways = ["import torch", "from spikequant.errors import SpecError", "from spikequant.numerics import snap"]
    for way in [*ways, "from spikequant import __version__"]:
        assert trespasses({"quantizers/spec.py": ast.parse(way)}, permitted) == [], way


def test_torch_in_a_room_that_refuses_it_is_seen(charters: Mapping[str, str]) -> None:
    assert len(torch_where_refused({"search/front.py": ast.parse("from torch import Tensor")}, charters)) == 1


def test_a_climbing_table_is_seen() -> None:
    assert climbs({"numerics": frozenset({"models"})}, {"numerics": 0, "models": 2}) == ["numerics on floor 0 may import models on floor 2"]
