"""Files and functions stay small, and no file is a drawer for leftovers. Code is counted as statements, one a line:
parsed, without docstrings, comments and imports, and written out again."""

import ast
import copy
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

FILE_LINES = 300
FUNCTION_LINES = 40
DRAWERS = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})

Trees = Mapping[str, ast.Module]


class Bare(ast.NodeTransformer):
    """Leaves ``pass`` where a docstring or an import was."""

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return ast.Pass()

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.Pass() if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def code_lines(tree: ast.AST) -> int:
    lines = ast.unparse(Bare().visit(copy.deepcopy(tree))).splitlines()
    return sum(line.strip() not in ("", "pass") for line in lines)


def too_long(trees: Trees) -> list[str]:
    files = [(path, tree, FILE_LINES) for path, tree in trees.items()]
    functions = [
        (f"{path}:{node.lineno} {node.name}", node, FUNCTION_LINES)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    counted = [(place, code_lines(tree), most) for place, tree, most in [*files, *functions]]
    return [f"{place}: {lines} lines of code, at most {most}" for place, lines, most in counted if lines > most]


def c_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).splitlines())


def drawers(trees: Trees) -> list[str]:
    return [path for path in trees if DRAWERS & set(path.removesuffix(".py").split("/"))]


def test_files_and_functions_are_small(trees: Trees) -> None:
    assert too_long(trees) == []


def test_files_of_c_are_small(root: Path) -> None:
    counted = {path.name: c_lines(path.read_text()) for path in (root / "src").rglob("*.c")}
    assert counted
    assert {name: lines for name, lines in counted.items() if lines > FILE_LINES} == {}


def test_counts_c_without_its_comments() -> None:
    assert c_lines("/* Of two\n   lines. */\n\nint one(void) {\n    return 1; /* said */\n}\n") == 3


def test_no_drawer_for_leftovers(trees: Trees) -> None:
    assert drawers(trees) == []


def test_counts_code_only() -> None:
    source = '''"""Docstring."""

# comment
import os
from typing import TYPE_CHECKING


def double(value: int) -> int:
    """One line.

    More.
    """
    import math

    return (  # three lines as written, one statement
        2
        * value
    )
'''
    assert code_lines(ast.parse(source)) == 2


@pytest.mark.parametrize("source", ["\n".join(f"value_{i} = {i}" for i in range(301)), "def f():\n" + "    x = 1\n" * 40])
def test_a_long_file_or_function_is_seen(source: str) -> None:
    assert len(too_long({"numerics/grid.py": ast.parse(source)})) == 1


@pytest.mark.parametrize("path", ["numerics/utils.py", "common/grid.py", "models/adopt/helpers.py"])
def test_a_drawer_is_seen(path: str) -> None:
    assert drawers({path: ast.Module([], [])}) == [path]
