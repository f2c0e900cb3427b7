"""AEDAT 3.1, the format in which DVS128 Gesture was released: packets of events, of which polarity events are read.

Source: inivation's "AEDAT file formats", version 3.1: little-endian; a head of lines that begin with ``#`` and end with
``#!END-HEADER``; packets with a head of 28 bytes; a polarity event is a word (valid 1 bit, polarity 1, y 15, x 15, from below) and
microseconds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.errors import DataError

VERSION = b"#!AER-DAT3.1"
END = b"#!END-HEADER"
WORDS = ("size", "at", "over", "room", "count", "valid")
PACKET = np.dtype([("type", "<i2"), ("source", "<i2"), *[(name, "<i4") for name in WORDS]])
EVENT = np.dtype([("word", "<u4"), ("t", "<i4")])
POLARITY = 1
HEAD_LIMIT = 2**16


class Polarity(NamedTuple):
    """Events in their order: microseconds, column, row, on (1) or off (0)."""

    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    on: NDArray[np.int64]


def polarity(content: bytes, place: str = "AEDAT content") -> Polarity:
    """The valid polarity events of a file.

    Raises:
        DataError: another version, or a packet that does not fit the file.
    """
    at, found = _start(content, place), []
    while at < len(content):
        if at + PACKET.itemsize > len(content):
            raise DataError(f"{place}: ends within the head of a packet, at byte {at}")
        head = np.frombuffer(content, PACKET, 1, at)[0]
        size, count = int(head["size"]), int(head["count"])
        at += PACKET.itemsize
        if size < 1 or count < 0 or at + size * count > len(content):
            raise DataError(f"{place}: the packet before byte {at} claims {count} events of {size} bytes, the file has {len(content) - at}")
        if head["type"] == POLARITY:
            if size != EVENT.itemsize:
                raise DataError(f"{place}: polarity events of {size} bytes; must be {EVENT.itemsize}")
            found.append(_events(np.frombuffer(content, EVENT, count, at), int(head["over"])))
        at += size * count
    joined = [np.concatenate([part[field] for part in found]) if found else np.zeros(0, np.int64) for field in range(4)]
    return Polarity(*joined)


def _start(content: bytes, place: str) -> int:
    head = content[:HEAD_LIMIT]
    if not head.startswith(VERSION):
        raise DataError(f"{place}: begins with {head[:14]!r}, must begin with {VERSION!r}")
    end = head.find(END)
    line = head.find(b"\n", end)
    if end < 0 or line < 0:
        raise DataError(f"{place}: no {END.decode()!r} in its first {len(head)} bytes")
    return line + 1


def _events(raw: NDArray[np.void], over: int) -> Polarity:
    raw = raw[(raw["word"] & 1) == 1]
    word = raw["word"].astype(np.int64)
    return Polarity(raw["t"].astype(np.int64) + (over << 31), word >> 17, (word >> 2) & 0x7FFF, (word >> 1) & 1)
