"""The facade is lazy: names without torch, in little time, and what a type checker sees is what a program gets."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

import spikequant

Trees = Mapping[str, ast.Module]

SECONDS = 0.5
HELP = "import sys; from spikequant.views.main import main; sys.argv = ['spikequant', '--help']; main()"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def loads_torch(code: str) -> bool:
    answer = python("-c", f"import atexit, sys; atexit.register(lambda: print('torch loaded:', 'torch' in sys.modules))\n{code}")
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.endswith("torch loaded: True\n")


def best_seconds(*arguments: str) -> float:
    """Of processor time, which other work on the machine does not stretch."""
    return min(seconds(*arguments) for _ in range(5))


def seconds(*arguments: str) -> float:
    before = os.times()
    answer = python(*arguments)
    assert answer.returncode == 0, answer.stderr
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def hidden(trees: Trees) -> list[str]:
    """Names that a lazy room gives out and that a file of the room bears too: importing the file would put it in their place."""
    return [
        f"{path}: {name}"
        for path, tree in trees.items()
        if path.endswith("/__init__.py") and any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body)
        for name in sorted((words(tree) & neighbors(path, trees)) - eager(tree))
    ]


def words(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def eager(tree: ast.Module) -> set[str]:
    return {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def neighbors(path: str, trees: Trees) -> set[str]:
    folder = path.removesuffix("__init__.py")
    return {other.removeprefix(folder).partition("/")[0].removesuffix(".py") for other in trees if other.startswith(folder)}


def declared(tree: ast.Module) -> dict[str, str]:
    """What the facade shows to type checkers: ``{name: module}``."""
    lines = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    pairs = [(alias.asname, str(line.module)) for line in lines for alias in line.names if alias.asname]
    return {name: f"spikequant.{name}" if module == "spikequant" else module for name, module in pairs}


@pytest.mark.parametrize(
    "code",
    [
        "import spikequant",
        "import spikequant as sq; dir(sq); sq.__version__; sq.__all__",
        "import spikequant as sq; sq.Uniform(bits=4, low=-1.0, high=1.0); sq.ThresholdCentered",
        HELP,
    ],
)
def test_torch_is_not_loaded(code: str) -> None:
    assert not loads_torch(code)


def test_loading_torch_is_seen() -> None:
    assert loads_torch("import torch")
    assert loads_torch("import spikequant as sq; sq.LIF")


@pytest.mark.parametrize("arguments", [("-c", "import spikequant"), ("-m", "spikequant", "--help")])
def test_starts_fast(arguments: tuple[str, ...]) -> None:
    assert best_seconds(*arguments) < SECONDS


def test_a_slow_start_is_seen() -> None:
    assert seconds("-c", f"import time\nwhile time.process_time() < {2 * SECONDS}: pass") > SECONDS


def test_every_name_is_there() -> None:
    assert spikequant.__all__ == sorted(spikequant.__all__, key=lambda name: (name != "__version__", name))
    assert dir(spikequant) == sorted(spikequant.__all__)
    for name in spikequant.__all__:
        assert getattr(spikequant, name) is not None


def test_no_file_hides_a_public_name(trees: Trees) -> None:
    assert hidden(trees) == []


def test_a_hidden_name_is_seen() -> None:
    lazy = "from spikequant.training.loop import loop\n__all__ = ['fit', 'loop', 'train']\ndef __getattr__(name): ..."
    files = {f"training/{name}.py": ast.parse("") for name in ("fit", "loop", "spec")}
    assert hidden({"training/__init__.py": ast.parse(lazy), **files}) == ["training/__init__.py: fit"]
    assert hidden({"training/__init__.py": ast.parse(lazy.partition("def")[0]), **files}) == []


def test_type_checkers_see_the_same_names(trees: Trees) -> None:
    assert declared(trees["__init__.py"]) == spikequant._ROOMS
    assert declared(ast.parse("if TYPE_CHECKING:\n    from spikequant.neurons import LIF as LIF")) != spikequant._ROOMS


def test_unknown_name_hints_at_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"'spikequant' has no attribute 'qantize'; did you mean 'quantize'\?"):
        _ = spikequant.qantize
