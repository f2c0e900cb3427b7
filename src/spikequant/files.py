"""Files that are whole or absent: written beside their place, synced, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from spikequant.errors import SpikequantError

ELSEWHERE = "choose a folder that you may write to"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same folder, so that the rename stays within one file system; file and folder
    are synced, so that a finished name never holds unfinished bytes.

    Raises:
        SpikequantError: the folder or file cannot be written; the message names it.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SpikequantError(f"cannot write {path}: {error.strerror or error}; {ELSEWHERE}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def folder(path: Path) -> Path:
    """The folder at ``path``, made if it is absent.

    Raises:
        SpikequantError: it cannot be made or written to.
    """
    refuse_unwritable(path)
    try:
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
