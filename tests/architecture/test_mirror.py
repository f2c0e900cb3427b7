"""Source and tests mirror each other: ``numerics/grid.py`` has ``tests/numerics/test_grid.py``; the kernels have ``tests/twins``."""

import ast
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import pytest


def mirror(source: str) -> str:
    path = PurePosixPath(source.replace("numerics/kernels/", "twins/"))
    return path.with_name(f"test_{path.name.lstrip('_')}").as_posix()


def untested(sources: Collection[str], tests: Collection[str]) -> list[str]:
    return sorted(source for source in sources if "__" not in source and mirror(source) not in tests)


def orphaned(sources: Collection[str], tests: Collection[str]) -> list[str]:
    """Tests in a room's folder, or beside them all, that mirror no source."""
    rooms = {source.partition("/")[0] for source in sources if "/" in source}
    mirrors = {mirror(source) for source in sources}
    return sorted(test for test in tests if ("/" not in test or test.partition("/")[0] in rooms) and test not in mirrors)


@pytest.fixture(scope="module")
def tests(root: Path) -> frozenset[str]:
    return frozenset(path.relative_to(root / "tests").as_posix() for path in (root / "tests").rglob("test_*.py"))


def test_every_source_file_has_its_test(trees: Mapping[str, ast.Module], tests: frozenset[str]) -> None:
    assert untested(trees, tests) == []


def test_every_test_of_a_room_has_its_source(trees: Mapping[str, ast.Module], tests: frozenset[str]) -> None:
    assert orphaned(trees, tests) == []


def test_a_missing_mirror_is_seen_on_both_sides() -> None:
    sources = ["__init__.py", "errors.py", "numerics/__init__.py", "numerics/grid.py", "models/adopt/_nir.py"]
    assert untested(sources, []) == ["errors.py", "models/adopt/_nir.py", "numerics/grid.py"]
    assert untested(sources, ["test_errors.py", "numerics/test_grid.py", "models/adopt/test_nir.py"]) == []
    assert orphaned(sources, ["test_errors.py", "laws/test_grids.py", "numerics/test_grid.py"]) == []
    assert orphaned(sources, ["test_file.py", "numerics/test_grids.py"]) == ["numerics/test_grids.py", "test_file.py"]
