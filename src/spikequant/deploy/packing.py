"""Whole numbers of a few bits in bytes: little-endian, the first element in the lowest bits."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def pack(values: Integers, bits: int) -> Bytes:
    """The lowest ``bits`` of every value, one after the other; the last byte is filled with zeros.

    >>> pack(np.array([1, -1, 2]), 4).tolist()
    [241, 2]
    """
    each = (values.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(each.astype(np.uint8).reshape(-1), bitorder="little")


def unpack(packed: Bytes, bits: int, count: int, signed: bool) -> Integers:
    """What ``pack`` packed: ``count`` values, two's complement if ``signed``.

    >>> unpack(pack(np.array([1, -1, 2]), 4), 4, 3, signed=True).tolist()
    [1, -1, 2]
    """
    each = np.unpackbits(packed, bitorder="little", count=bits * count).reshape(count, bits).astype(np.int64)
    values: Integers = (each << np.arange(bits)).sum(1)
    return values - ((values >> (bits - 1)) << bits) if signed else values


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes ``count`` values take.

    >>> packed_bytes(3, 4)
    2
    """
    return -(-count * bits // 8)
