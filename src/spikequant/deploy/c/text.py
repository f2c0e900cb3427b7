"""Pieces of C: types, structs without holes, arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.bounds import Range

WIDTH = 140
BYTES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "int32_t": 4, "uint32_t": 4}


class Field(NamedTuple):
    """One array of a struct; ``values`` where it is constant."""

    name: str
    kind: str
    elements: int
    values: NDArray[np.int64] | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return BYTES[self.kind] * self.elements


def holder(values: Range) -> str:
    """The narrowest signed type.

    >>> holder(Range(0, 200))
    'int16_t'
    """
    return f"int{values.bits}_t"


def constant(name: str, values: NDArray[np.int64], kind: str | None = None) -> Field:
    """A constant array, of the narrowest type if none is given."""
    flat = values.reshape(-1)
    return Field(name, kind or holder(Range(int(flat.min()), int(flat.max()))), flat.size, flat)


def ordered(fields: list[Field]) -> list[Field]:
    """The widest types first: no holes between them."""
    return sorted(fields, key=lambda field: -BYTES[field.kind])


def struct_bytes(fields: list[Field]) -> int:
    """``sizeof`` of the struct of these fields in order.

    >>> struct_bytes([Field("a", "int32_t", 1), Field("b", "int8_t", 3)])
    8
    """
    widest = max(BYTES[field.kind] for field in fields)
    return -(-sum(field.size for field in fields) // widest) * widest


def members(fields: list[Field]) -> str:
    """The declarations of a struct."""
    return "".join(f"    {field.kind} {field.name}[{field.elements}];\n" for field in fields)


def initializers(fields: list[Field]) -> str:
    """The values of a constant struct."""
    return ",\n".join(f"    .{field.name} = {{\n{_lines(field)}}}" for field in fields) + "\n"


def _lines(field: Field) -> str:
    assert field.values is not None, "only constants are initialized"
    suffix = "u" if field.kind == "uint32_t" else ""
    words, lines, line = (f"{value}{suffix}" for value in field.values.tolist()), [], "       "
    for word in words:
        if len(line) + len(word) + 2 > WIDTH:
            lines.append(line)
            line = "       "
        line += f" {word},"
    return "\n".join([*lines, line.rstrip(",")])
