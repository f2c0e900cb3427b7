"""Archives from strangers, zip and tar: read member by member, never unpacked to disk."""

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from spikequant.errors import FormatError, SpikequantError

MEMBERS = 200_000
ENCRYPTED = 1
GZIP = b"\x1f\x8b"
END = 1024  # zeros that end a tar
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RuntimeError)
NAME = re.compile(r"[^\x00-\x1f\x7f\\:]{1,512}")


def members(file: Path | bytes, limit: int, error: type[SpikequantError] = FormatError, place: str = "") -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a zip, tar or tar.gz, as they come; folders are passed over.

    Raises:
        SpikequantError: of the type ``error``. The archive is damaged; it would unpack to more than ``limit`` bytes or has more
            than 200 000 members; a member is a link, device, sparse or encrypted, is there twice, or its name leads elsewhere.
    """
    where = place or (f"archive {file}" if isinstance(file, Path) else "archive")
    try:
        with file.open("rb") if isinstance(file, Path) else io.BytesIO(file) as stream:
            begins = stream.read(4)
            stream.seek(0)
            yield from _zip(stream, limit) if begins.startswith(b"PK") else _tar(stream, limit, packed=begins.startswith(GZIP))
    except FormatError as refused:
        raise error(f"{where}: {refused}") from None
    except DAMAGE as damage:
        raise error(f"{where} is damaged, or neither zip nor tar: {damage}") from None


def refuse_zip_bomb(stream: IO[bytes], limit: int) -> list[zipfile.ZipInfo]:
    """The members of a zip, which together declare at most ``limit`` bytes.

    Raises:
        FormatError: they break a rule. Damage raises what ``zipfile`` makes of it.
    """
    with zipfile.ZipFile(stream) as archive:
        infos = archive.infolist()
    if len(infos) > MEMBERS:
        raise FormatError(f"it has {len(infos)} members; must be at most {MEMBERS}")
    total = sum(info.file_size for info in infos)
    if total > limit:
        raise FormatError(f"it unpacks to {total} bytes; must be at most {limit}")
    seen: set[str] = set()
    for info in infos:
        _refuse_name(info.orig_filename, seen)
        if info.flag_bits & ENCRYPTED or info.compress_type not in PLAIN:
            raise FormatError(f"member {info.filename!r} is encrypted or packed by method {info.compress_type}; must be stored or deflated")
        if (info.external_attr >> 28) not in (0, 0o10, 0o4):
            raise FormatError(f"member {info.filename!r} is a link or device; must be a file or folder")
    return infos


def _zip(stream: IO[bytes], limit: int) -> Iterator[tuple[str, bytes]]:
    infos = refuse_zip_bomb(stream, limit)
    with zipfile.ZipFile(stream) as archive:
        for info in infos:
            if not info.is_dir():
                yield info.filename, archive.read(info)


def _tar(stream: IO[bytes], limit: int, packed: bool) -> Iterator[tuple[str, bytes]]:
    plain: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream
    raw = _Bounded(plain, limit)
    bounded = io.BufferedReader(raw)
    seen: set[str] = set()
    with tarfile.open(fileobj=bounded, mode="r|") as archive:
        for info in archive:
            _refuse_name(info.name, seen)
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise FormatError(f"member {info.name!r} is a link, device or sparse; must be a file or folder")
            content = archive.extractfile(info)
            if content is not None:
                yield info.name, _whole(content.read(limit + 1), info)
    while bounded.read(2**20):  # to its end, where gzip keeps its checksum
        pass
    if raw.tail != bytes(END):
        raise FormatError("it ends early: its end mark is absent")


def _whole(content: bytes, info: tarfile.TarInfo) -> bytes:
    if len(content) != info.size:
        raise FormatError(f"member {info.name!r} ends early")
    return content


class _Bounded(io.RawIOBase):
    """A stream that refuses to go on after ``limit`` bytes and the headers' share, whatever the archive claims."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit, self.left = stream, limit, limit + limit // 8 + 2**20
        self.tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self.stream.read(min(len(buffer), 2**20))
        self.left -= len(content)
        if self.left < 0:
            raise FormatError(f"it unpacks to more than {self.limit} bytes")
        self.tail = (self.tail + content)[-END:]
        buffer[: len(content)] = content
        return len(content)


def _refuse_name(name: str, seen: set[str]) -> None:
    parts = name.rstrip("/").split("/")
    if not NAME.fullmatch(name) or any(part in ("", "..") for part in parts):
        raise FormatError(
            f"member name {name!r} may lead elsewhere; must be a relative path without '..', '\\', ':' and control characters"
        )
    if name in seen:
        raise FormatError(f"member {name!r} is there twice")
    if len(seen) >= MEMBERS:
        raise FormatError(f"it has more than {MEMBERS} members")
    seen.add(name)
