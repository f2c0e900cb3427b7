"""Official files: found in their folder, and compared with their published size and hash before anything parses them."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spikequant.errors import DataError

VARIABLE = "SPIKEQUANT_DATA"
HOME = "~/.cache/spikequant"


class Official(NamedTuple):
    """A file as its authors published it: ``size`` in bytes, ``sha256`` where one is known, and its packed form."""

    name: str
    size: int
    sha256: str | None = None
    gz: "Official | None" = None

    @property
    def forms(self) -> tuple["Official", ...]:
        """The forms in which the file may lie in a folder, the one to take first in front."""
        return (self,) if self.gz is None else (self.gz, self)


def root_folder(root: Path | str | None = None) -> Path:
    """The folder that holds one folder per data set: ``root``, else ``SPIKEQUANT_DATA``, else ``~/.cache/spikequant``.

    >>> root_folder("sets").as_posix()
    'sets'

    Raises:
        DataError: none is given and there is no home folder.
    """
    return expanded(root if root is not None else os.environ.get(VARIABLE) or HOME, f"{VARIABLE} to the folder of your data sets")


def expanded(folder: Path | str, remedy: str) -> Path:
    """A folder whose ``~`` is spelled out.

    Raises:
        DataError: there is no home folder; the message says to set ``remedy``.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise DataError(f"no home folder to expand {str(folder)!r} in: set {remedy}") from error


def locate(root: Path | str | None, folders: Sequence[str], files: Sequence[Official]) -> Path:
    """The first of ``folders``, relative to the root, that holds one of ``files``, packed or plain.

    Raises:
        DataError: none does; the message names the folder to fill and a file to put there.
    """
    base = root_folder(root)
    for folder in folders:
        if any(_present(base / folder, form) for file in files for form in file.forms):
            return base / folder
    home = base / folders[0]
    problem = f"no official file in folder {home}" if home.is_dir() else f"no folder {home}"
    others = " or ".join(str(base / folder) for folder in folders[1:])
    rest = ", ".join(file.forms[0].name for file in files[1:])
    raise DataError(f"{problem}, and none in {others}; {_remedy(files[0].forms[0], home)}; the set also needs {rest}")


def read(file: Official, folder: Path) -> tuple[bytes, str]:
    """Unpacked content of an official file and its sha256; the packed form is taken where both are there.

    Reads and unpacks at most one byte more than the published size, whatever the file claims.

    Raises:
        DataError: the file is absent, unreadable, or not the published one.
    """
    form = next((form for form in file.forms if _present(folder, form)), None)
    if form is None:
        raise DataError(f"no file {file.forms[0].name} in folder {folder}; {_remedy(file.forms[0], folder)}")
    content = beginning(folder / form.name, form.size)
    found = _verified(content, form, folder, form)
    if form is file:
        return content, found
    content = _unpacked(content, file.size, form, folder)
    return content, _verified(content, file, folder, form)


def beginning(path: Path, limit: int) -> bytes:
    """The content of a file, of a larger one ``limit`` bytes and one more.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from error


def _present(folder: Path, file: Official) -> bool:
    try:
        return (folder / file.name).is_file()
    except OSError as error:
        raise _unreadable(folder, error) from error


def _verified(content: bytes, expected: Official, folder: Path, on_disk: Official) -> str:
    found = hashlib.sha256(content).hexdigest()
    if len(content) == expected.size and expected.sha256 in (None, found):
        return found
    what = f"file {on_disk.name}" + (" unpacked" if expected is not on_disk else "")
    # Of a longer file only the beginning was read, and that has no hash worth printing.
    has = f"more than {expected.size} bytes" if len(content) > expected.size else f"{len(content)} bytes, sha256 {found}"
    raise DataError(f"{what} in folder {folder} has {has}; must have {_published(expected)}; {_remedy(on_disk, folder)}")


def _unpacked(packed: bytes, size: int, file: Official, folder: Path) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise DataError(f"file {file.name} in folder {folder} is not a gzip stream: {error}; {_remedy(file, folder)}") from error
    if len(content) <= size and (not unpacker.eof or unpacker.unused_data):
        state = "is followed by other bytes" if unpacker.eof else "ends early"
        raise DataError(f"the gzip stream of file {file.name} in folder {folder} {state}; {_remedy(file, folder)}")
    return content


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror or error}; choose a folder that you may read, or set {VARIABLE}")


def _published(file: Official) -> str:
    return f"{file.size} bytes" + (f", sha256 {file.sha256}" if file.sha256 else "")


def _remedy(file: Official, folder: Path) -> str:
    return f"put the official file {file.name} ({_published(file)}) into {folder}, or set {VARIABLE} to the folder of your data sets"
