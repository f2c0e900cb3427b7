import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spikequant.errors import FormatError, SpikequantError
from spikequant.files import folder, read, replacing, watched, write


def names(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir()]


def test_write_makes_and_replaces_text_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write(path, "µ")
    assert path.read_bytes() == b"\xc2\xb5"
    write(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert names(tmp_path) == ["note.txt"]


def test_the_name_holds_the_old_bytes_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_exception_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write(path, "old")

    def half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_kill_in_the_block_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write(path, "old")
    code = """
import os, signal, sys
from pathlib import Path
from spikequant.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half"); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_file_is_synced_before_its_name_appears_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    replace = Path.replace

    def rename(path: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("sync"))
    monkeypatch.setattr(Path, "replace", rename)
    write(tmp_path / "note.txt", "new")
    assert calls == ["sync", "rename", "sync"]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.txt"
    write(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpikequantError, match=r"cannot write .*note\.txt: No space left on device"):
        write(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_write_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpikequantError, match=r"cannot write .*absent/note\.txt: No such file or directory; choose"):
        write(tmp_path / "absent" / "note.txt", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("folder", [".", "/", ".."])
def test_write_to_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpikequantError, match=r"cannot write .*: (Is a directory|Device or resource busy)"):
        write(Path(folder), b"new")
    assert not list(tmp_path.iterdir())


def test_folder_makes_parents_and_accepts_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert folder(path) == path
    assert folder(path).is_dir()


def test_folder_where_a_file_is_in_the_way_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SpikequantError, match="cannot make folder"):
            folder(path)


def test_folder_that_may_not_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere, whatever the mode bits say
    with pytest.raises(SpikequantError, match="permission denied"):
        folder(tmp_path)


def test_a_watcher_sees_every_step_in_its_order(tmp_path: Path) -> None:
    steps: list[tuple[str, str]] = []
    with watched(lambda step, path: steps.append((step, path.name.rpartition("-")[2]))):
        write(folder(tmp_path / "run") / "note.txt", "new")
    write(tmp_path / "after.txt", "")
    made = [("make folder", "run"), ("open", "note.txt"), ("write", "note.txt"), ("sync", "note.txt"), ("rename", "note.txt")]
    assert steps == [*made, ("sync folder", "run")]


@pytest.mark.parametrize("failing", ["open", "write", "sync", "rename", "sync folder"])
def test_a_step_that_fails_leaves_the_old_file_or_the_new_one(tmp_path: Path, failing: str) -> None:
    path = tmp_path / "note.txt"
    write(path, "old")

    def fail(step: str, place: Path) -> None:
        if step == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with watched(fail), pytest.raises(SpikequantError, match=r"cannot write .*note\.txt: Input/output error"):
        write(path, "new")
    assert path.read_text() == ("new" if failing == "sync folder" else "old")
    assert names(tmp_path) == ["note.txt"]


def test_read_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write(path, "four")
    assert read(path, 4) == b"four"
    with pytest.raises(FormatError, match="is larger than 3 bytes"):
        read(path, 3)
    for other in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FormatError, match="is absent, or no file"):
            read(other, 4)
