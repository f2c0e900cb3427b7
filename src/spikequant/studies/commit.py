"""The commit that the code comes from: of the tree that runs, or of the one that the wheel was built from."""

import contextlib
import subprocess
from pathlib import Path

TREE = Path(__file__).parents[3]
BUILT = Path(__file__).with_name("commit.txt")  # written by the build, into the wheel alone


def commit() -> str | None:
    """The commit, with a mark where files were edited; None where the wheel was built from an archive."""
    return BUILT.read_text().strip() if BUILT.is_file() else of_tree(TREE)


def of_tree(tree: Path) -> str | None:
    """The commit of a checkout, ``-dirty`` where its files were edited; None for any other folder.

    The build calls this, too, where nothing but Python is installed.
    """
    if not (tree / ".git").exists():
        return None
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return None
