"""The CPU twin of ``sorted_gaps``: numbers that a counting sort nearly orders, as rates are, at a third of the time of numpy's sort."""

import ctypes
import functools
import math

import numpy as np

from spikequant.numerics.kernels.native import library
from spikequant.numerics.sorting import Reals

MOST = 2**24
MOST_STEPS = 2**16
_Place = ctypes.c_char


def sorted_gaps(a: Reals, b: Reals) -> Reals | None:
    """The twin of ``spikequant.numerics.sorting.sorted_gaps``, bit for bit; None where numbers are not finite, or crowd at a few places."""
    c, shape = library(), a.shape
    if c is None or shape != b.shape or not 0 < a.size <= MOST:
        return None
    columns = shape[-1]
    rows, steps = math.prod(shape[:-1]), min(1 << (columns - 1).bit_length(), MOST_STEPS)
    end = 2 * rows * columns
    memory = np.empty(end + rows + 3 * columns + steps)
    memory[: end // 2], memory[end // 2 : end] = a.ravel(), b.ravel()
    # By way of the buffer: half a microsecond less than `memory.ctypes`, of fifteen.
    done: int = _declared(c).sq_sorted_gaps(rows, columns, steps, ctypes.byref(_Place.from_buffer(memory.data)))
    return memory[end : end + rows].reshape(shape[:-1]) if done == rows else None


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    count = ctypes.c_int64
    c.sq_sorted_gaps.argtypes, c.sq_sorted_gaps.restype = [count, count, count, ctypes.c_void_p], count
    return c
