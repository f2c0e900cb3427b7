"""The system's own word on how files are written, where strace is installed and allowed: the cross-check of the steps in ``files``."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITE = """
import sys
from pathlib import Path
from spikequant.errors import SpikequantError
from spikequant.files import write
try:
    write(Path("note.txt"), "new")
except SpikequantError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    """A folder with an old file; the test is skipped where nothing can be traced."""
    if shutil.which("strace") is None or subprocess.run(["strace", "-o", tmp_path / "log", "true"], check=False).returncode:
        pytest.skip("strace is not installed, or not allowed here")
    (tmp_path / "note.txt").write_text("old")
    return tmp_path


def strace(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = ["strace", "-f", "-y", "-o", "log", *options, sys.executable, "-c", WRITE]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_a_file_is_synced_renamed_and_its_folder_synced_in_this_order(traced: Path) -> None:
    assert strace(traced, "-e", "trace=fsync,rename,renameat,renameat2").returncode == 0
    calls = re.findall(r"(fsync|rename\w*)\(.*?(\.tmp-|[^/>]*>)", (traced / "log").read_text())
    assert [(name[:6], place == ".tmp-") for name, place in calls] == [("fsync", True), ("rename", True), ("fsync", False)]


@pytest.mark.parametrize(
    ("call", "error", "left"),
    [("fsync", "EIO", "old"), ("fsync", "ENOSPC", "old"), ("rename", "EACCES", "old"), ("rename", "SIGKILL", "old")],
)
def test_what_the_system_refuses_is_told_and_the_old_file_stays(traced: Path, call: str, error: str, left: str) -> None:
    fault = f"signal={error}" if error.startswith("SIG") else f"error={error}"
    done = strace(traced, "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when=1")
    assert done.returncode != 0
    assert error.startswith("SIG") or "cannot write note.txt" in done.stderr
    assert (traced / "note.txt").read_text() == left
    assert error.startswith("SIG") or not list(traced.glob(".tmp-*"))
