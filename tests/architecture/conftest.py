"""What the architecture is judged by: README's drawing and table of rooms, and the parsed source."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "spikequant"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def trees() -> Mapping[str, ast.Module]:
    """Every source file, parsed, by its path in the package: ``{"numerics/grid.py": ...}``."""
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="session")
def floors() -> Mapping[str, int]:
    """The drawing: ``{room: floor}``."""
    lines = re.findall(r"^floor (\d+) +(.+)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    return {room: int(floor) for floor, line in lines for room in line.split()}


@pytest.fixture(scope="session")
def table() -> Mapping[str, tuple[str, str]]:
    """The table as it stands: ``{room: (charter, may import)}``."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    return {room: (charter, words) for room, charter, words in rows}


@pytest.fixture(scope="session")
def charters(table: Mapping[str, tuple[str, str]]) -> Mapping[str, str]:
    return {room: charter for room, (charter, _) in table.items()}


@pytest.fixture(scope="session")
def permitted(table: Mapping[str, tuple[str, str]], floors: Mapping[str, int]) -> Mapping[str, frozenset[str]]:
    """The table's last column: ``{room: rooms that it may import}``."""
    below = {room: frozenset(other for other in floors if floors[other] < floors[room]) for room in floors}
    return {room: _permitted(words, below[room]) for room, (_, words) in table.items()}


def _permitted(words: str, below: frozenset[str]) -> frozenset[str]:
    if words == "-":
        return frozenset()
    rest = words.removeprefix("every room below but ")
    named = frozenset(rest.split(", "))
    return named if rest == words else below - named
