"""Safetensors content from strangers, checked before it is parsed.

The parser of safetensors refuses wrong offsets and sizes. It accepts duplicate names, names like ``../../etc/x`` and
values that are not finite, and it reports what is wrong as whatever it came upon.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from spikequant.documents import parse_json
from spikequant.errors import FormatError

if TYPE_CHECKING:
    from torch import Tensor

HEADER_LIMIT = 2**24
NAME = re.compile(r"(?!.*\.\.)[^\x00-\x1f\x7f/\\]{1,255}")
BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}


class Entry(NamedTuple):
    """What the header says of one tensor; ``begin`` and ``end`` are its bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a file says of itself."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]


def read(content: bytes, place: str) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Tensors and metadata of safetensors content.

    Raises:
        FormatError: the header breaks a rule; see ``header``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = header(content, place).metadata
    try:
        return load(content), metadata
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise FormatError(f"{place} is damaged: {error}") from None


def content_of(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors content that ``read`` takes back.

    Raises:
        FormatError: a name could not be read back.
    """
    from safetensors.torch import save

    for name in tensors:
        _refuse_name(name, "the file to write")
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata=dict(metadata or {}) or None)


def header(content: bytes, place: str) -> Header:
    """The header of safetensors content, nothing of which is believed.

    Raises:
        FormatError: it is cut short, larger than 16 MiB, no JSON, or names anything twice; a tensor's name is empty, longer than
            255 letters, or has a slash, two dots in a row or a control character; a dtype or shape is none; the tensors leave a
            gap, overlap, or are not all the bytes.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(HEADER_LIMIT, len(content) - 8):
        raise FormatError(f"{place} is damaged: its header of {size} bytes must end within the file and be at most {HEADER_LIMIT}")
    try:
        document = parse_json(content[8 : 8 + size].decode())
    except ValueError as error:
        raise FormatError(f"{place} is damaged: its header is no sound JSON: {error}") from None
    if not isinstance(document, dict):
        raise FormatError(f"{place} is damaged: its header must be a JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{place} is damaged: its metadata must be texts by name")
    entries = {name: _entry(name, said, place) for name, said in document.items()}
    _refuse_gaps(entries, len(content) - 8 - size, place)
    return Header(entries, metadata)


def _refuse_name(name: str, place: str) -> None:
    if not NAME.fullmatch(name):
        raise FormatError(f"{place}: tensor name {name!r} must have 1 to 255 letters, no slash, no '..' and no control character")


def _entry(name: str, said: Any, place: str) -> Entry:
    _refuse_name(name, place)
    try:
        dtype, shape, (begin, end) = said["dtype"], said["shape"], said["data_offsets"]
        sound = len(said) == 3 and dtype in BYTES and all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise FormatError(f"{place}: tensor {name!r} must have a dtype ({', '.join(BYTES)}), a shape and two data_offsets, and no more")
    if prod(shape) * BYTES[dtype] != end - begin:
        raise FormatError(f"{place}: tensor {name!r} of {dtype} {shape} must have {prod(shape) * BYTES[dtype]} bytes, has {end - begin}")
    return Entry(dtype, tuple(shape), begin, end)


def _refuse_gaps(entries: Mapping[str, Entry], size: int, place: str) -> None:
    spans = sorted((entry.begin, entry.end) for entry in entries.values())
    bounds = [(0, 0), *spans, (size, size)]
    if any(before[1] != after[0] for before, after in pairwise(bounds)):
        raise FormatError(f"{place} is damaged: its tensors must follow each other and fill the {size} bytes after the header")
