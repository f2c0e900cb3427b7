"""Nothing in the repository names a folder of one machine."""

import re
from collections.abc import Iterator
from pathlib import Path

MACHINE = re.compile(r"(?<![\w.<*$}/-])/(home|root|tmp|work|Users|private|mnt)/\w")
PLACES = ("src", "tests", "docs", "constraints", "benchmarks", ".ci")


def machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if MACHINE.search(line)]


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    files = [path for place in PLACES for path in (root / place).rglob("*") if "__pycache__" not in path.parts]
    for path in [*files, *(path for path in root.glob("*") if path.name != ".git")]:  # a file in worktrees, naming the main one
        if path.is_file() and b"\0" not in path.read_bytes():
            yield path, path.read_text()


def test_no_path_of_one_machine(root: Path) -> None:
    found = {str(path.relative_to(root)): machine_paths(text) for path, text in texts(root) if path != Path(__file__)}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_paths_of_one_machine_are_seen() -> None:
    assert machine_paths("data = '/home/ada/data'\nsource /tmp/x\nopen('/root/a')") != []
    assert len(machine_paths("a '/home/ada/data'\nb /tmp/x\nc(/Users/ada)")) == 3
    assert machine_paths("see https://example.org/home/index\n../shared/tmp/x\n$HOME/work/x") == []
