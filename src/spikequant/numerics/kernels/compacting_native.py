"""The CPU twins of ``compact`` and ``expanded``: one pass of C, and memory that is used again."""

import ctypes
import functools

import torch
from torch import Tensor

from spikequant.numerics.kernels.lif_native import pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.quant_native import is_dense, laid_as, ready, threads_for


def fits(x: Tensor) -> bool:
    """Whether the twin covers this call."""
    return is_dense(x) and library() is not None


def compact(x: Tensor) -> Tensor | None:
    """The twin of ``spikequant.numerics.compacting.compact``, for calls that it ``fits``."""
    return run(ready(), x)


def run(c: ctypes.CDLL, x: Tensor) -> Tensor | None:
    """``compact`` by a library."""
    small = laid_as(x, torch.uint8)
    return None if _declared(c).sq_compact(x.numel(), pointer(x), pointer(small), threads_for(x)) else small


def expanded(small: Tensor) -> Tensor:
    """The twin of ``spikequant.numerics.compacting.expanded`` to float32, on the CPU."""
    return laid_as(small, torch.float32).copy_(small)


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    place, count = ctypes.c_void_p, ctypes.c_int64
    c.sq_compact.argtypes, c.sq_compact.restype = [count, place, place, ctypes.c_int], count
    return c
