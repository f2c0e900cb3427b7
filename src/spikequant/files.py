"""Files that are whole or absent: written beside their place, synced, then renamed."""

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

from spikequant.errors import FormatError, SpikequantError

ELSEWHERE = "choose a folder that you may write to"

Step = Literal["make folder", "open", "write", "sync", "rename", "sync folder", "remove"]
Watcher = Callable[[Step, Path], object]
_watcher: Watcher | None = None


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` before every step of every file that is written in the block: what it raises, that step raises.

    So a test sees the order of steps, and lets any of them fail or be the last.
    """
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


def _step(name: Step, path: Path) -> None:
    if _watcher is not None:
        _watcher(name, path)


class _Raw(io.FileIO):
    """A new file, each of whose writes is a step."""

    def __init__(self, path: Path) -> None:
        _step("open", path)
        super().__init__(path, "x")
        self.path = path

    def write(self, content: Any) -> int:
        _step("write", self.path)
        return super().write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same folder, so that the rename stays within one file system; file and folder
    are synced, so that a finished name never holds unfinished bytes.

    Raises:
        SpikequantError: the folder or file cannot be written; the message names it.
    """
    if not path.name:  # the folder "." or "/"
        raise SpikequantError(f"cannot write {path}: {os.strerror(errno.EISDIR)}; {ELSEWHERE}")
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        with io.BufferedWriter(_Raw(temporary)) as file:
            yield file
            file.flush()
            _step("sync", temporary)
            os.fsync(file.fileno())
        rename(temporary, path)
    except OSError as error:
        raise SpikequantError(f"cannot write {path}: {error.strerror or error}; {ELSEWHERE}") from error
    finally:
        _remove(temporary)


def rename(whole: Path, path: Path) -> None:
    """Let a finished file take the place of ``path`` in the same folder.

    Raises:
        SpikequantError: it cannot.
    """
    try:
        _step("rename", whole)
        whole.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SpikequantError(f"cannot write {path}: {error.strerror or error}; {ELSEWHERE}") from error


def _sync_folder(folder: Path) -> None:
    _step("sync folder", folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        if temporary.exists():
            _step("remove", temporary)
            temporary.unlink()


def write(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def read(path: Path, limit: int) -> bytes:
    """A whole file, or nothing of one that is larger than ``limit`` bytes.

    Raises:
        FormatError: it is absent, unreadable, no regular file or too large.
    """
    try:
        if not path.is_file():
            raise FormatError(f"{path} is absent, or no file")
        with path.open("rb") as file:
            content = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > limit:
        raise FormatError(f"{path} is larger than {limit} bytes, more than any such file needs")
    return content


def folder(path: Path) -> Path:
    """The folder at ``path``, made if it is absent.

    Raises:
        SpikequantError: it cannot be made or written to.
    """
    refuse_unwritable(path)
    try:
        _step("make folder", path)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpikequantError(f"cannot make folder {path}: {error.strerror or error}; {ELSEWHERE}") from error
    return path


def refuse_unwritable(path: Path) -> None:
    """Raise where a folder could not be made or written to: known before the work begins, and nothing is made yet.

    Raises:
        SpikequantError: names the folder and why.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise SpikequantError(f"cannot make folder {path}: {there} is a file; {ELSEWHERE}")
    if not os.access(there, os.W_OK):
        raise SpikequantError(f"cannot write to folder {there}: permission denied; {ELSEWHERE}")
