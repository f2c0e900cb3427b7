"""Each room opens with its charter, word for word as README's table has it; no public function bears a room's name."""

import ast
from collections.abc import Mapping

Trees = Mapping[str, ast.Module]
Charters = Mapping[str, str]


def wrong_charters(trees: Trees, charters: Charters) -> list[str]:
    rooms = sorted({path.partition("/")[0] for path in trees if "/" in path})
    return [room for room in rooms if charters.get(room) != first_line(trees.get(f"{room}/__init__.py"))]


def first_line(tree: ast.Module | None) -> str | None:
    """The first docstring line; without file or docstring a word that no charter is."""
    return ((tree and ast.get_docstring(tree)) or "absent").splitlines()[0]


def room_names_taken(trees: Trees, charters: Charters) -> list[str]:
    return [
        f"{path}:{node.lineno}: function {node.name} bears the name of a room"
        for path, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in charters
    ]


def test_rooms_open_with_their_charter(trees: Trees, charters: Charters) -> None:
    assert wrong_charters(trees, charters) == []


def test_no_function_bears_a_rooms_name(trees: Trees, charters: Charters) -> None:
    assert room_names_taken(trees, charters) == []


def test_wrong_charters_are_seen() -> None:
    charters = {"data": "Samples.", "views": "All that a person sees."}
    bad = {
        "data/__init__.py": ast.parse('"""Samples and more."""'),
        "data/idx.py": ast.parse(""),
        "views/main.py": ast.parse(""),
        "attic/__init__.py": ast.parse('"""Samples."""'),
        "errors.py": ast.parse(""),
    }
    assert wrong_charters(bad, charters) == ["attic", "data", "views"]
    assert wrong_charters({"data/__init__.py": ast.parse('"""Samples.\n\nMore.\n"""')}, charters) == []


def test_a_function_named_like_a_room_is_seen() -> None:
    assert len(room_names_taken({"training/fit.py": ast.parse("def training(): ...\ndef fit(): ...")}, {"training": ""})) == 1
