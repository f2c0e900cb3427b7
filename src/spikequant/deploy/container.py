"""A program as bytes: one safetensors file, whose metadata holds the header and the hash; weights are packed.

A file is read only if it is, byte by byte, what this module would write for what it holds.
"""

import json
from typing import Any

import numpy as np
import pydantic
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_of
from safetensors.numpy import save as bytes_of

from spikequant.deploy.base import Slot
from spikequant.deploy.packing import pack, packed_bytes, unpack
from spikequant.deploy.program import Header, Program, canonical, layout
from spikequant.errors import FormatError, SpikequantError
from spikequant.quantizers.spec import explain

FORMAT, VERSION = "spikequant-program", 1
LIMIT, HEADER_LIMIT = 2**30, 2**24
NARROW = (np.dtype("<i1"), np.dtype("<i2"), np.dtype("<i4"))
Integers = NDArray[np.int64]


def to_bytes(program: Program) -> bytes:
    """The file of a program."""
    document = {"format": FORMAT, "version": VERSION, "hash": program.hash, "header": program.header.fields()}
    stored = {name: _stored(program.tensors[name], slot) for name, slot in program.slots.items()}
    return bytes_of(stored, metadata={"program": canonical(document)})


def from_bytes(content: bytes, place: str = "the program") -> Program:
    """The program of a file.

    Raises:
        FormatError: anything else than what ``to_bytes`` makes.
    """
    try:
        document = _document(content)
        header = Header.model_validate_json(canonical(document["header"]))
        _, slots = layout(header)
        arrays = _arrays(content, slots)
        program = Program(header, {name: _unstored(name, arrays[name], slot) for name, slot in slots.items()})
        same = program.hash == document["hash"] and to_bytes(program) == content
    except pydantic.ValidationError as error:
        raise FormatError(f"{place}: {explain(error, Header)}") from None
    except (
        SpikequantError,
        safetensors.SafetensorError,
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        raise FormatError(f"{place} is no sound program: {error}") from None
    if not same:
        raise FormatError(f"{place} does not fit its hash: it is damaged, or was changed by hand")
    return program


def _document(content: bytes) -> dict[str, Any]:
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(HEADER_LIMIT, len(content) - 8):
        raise FormatError("it ends within its header")
    meta = json.loads(content[8 : 8 + size].decode())
    document = json.loads(meta["__metadata__"]["program"])
    if document["format"] != FORMAT:
        raise FormatError(f"its format is {document['format']!r}, not {FORMAT!r}")
    if document["version"] != VERSION:
        raise FormatError(f"it has version {document['version']!r}, this spikequant reads {VERSION}; update spikequant")
    if not isinstance(document["header"], dict):
        raise FormatError("its header is no mapping")
    return dict(document)


def _arrays(content: bytes, slots: dict[str, Slot]) -> dict[str, NDArray[Any]]:
    arrays = arrays_of(content)
    for name in sorted(slots.keys() ^ arrays.keys()):
        raise FormatError(f"tensor {name!r} is {'absent' if name in slots else 'not part of this program'}")
    return arrays


def _stored(value: Integers, slot: Slot) -> NDArray[Any]:
    if slot.bits is not None:
        return pack(value, slot.bits)
    return value.astype(next(kind for kind in NARROW if np.array_equal(value.astype(kind), value)))


def _unstored(name: str, stored: NDArray[Any], slot: Slot) -> Integers:
    if stored.dtype.kind not in "iu":
        raise FormatError(f"tensor {name!r} is {stored.dtype}, must be whole numbers")
    if slot.bits is None:
        return stored.astype(np.int64)
    count = int(np.prod(slot.shape))
    if stored.shape != (packed_bytes(count, slot.bits),) or stored.dtype != np.uint8:
        raise FormatError(f"tensor {name!r} is {stored.dtype} {stored.shape}, must be {packed_bytes(count, slot.bits)} packed bytes")
    return unpack(stored, slot.bits, count, slot.low < 0).reshape(slot.shape)
