"""Memory for the outputs of our kernels, used again: the kernel faults every fresh page in, which costs more than the work."""

import ctypes
import math
import mmap
import os
import warnings
import weakref
from collections import defaultdict

import torch
from torch import Tensor

POOLED_FROM = 2**20
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt

_idle: dict[int, list[mmap.mmap]] = defaultdict(list)
_idle_limit: float = 2**30


def empty(shape: tuple[int, ...] | torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """An uninitialized tensor on the CPU; large ones come from, and return to, a pool when nothing refers to them.

    >>> empty((2, 3)).shape
    torch.Size([2, 3])
    """
    count = math.prod(shape)
    if dtype.itemsize * count < POOLED_FROM:
        return torch.empty(shape, dtype=dtype, device="cpu")
    size = -(-dtype.itemsize * count // POOLED_FROM) * POOLED_FROM
    try:
        block = _idle[size].pop()  # at once, since another thread may take the last one after a look
    except IndexError:
        block = _fresh(size)
    view = (ctypes.c_char * size).from_buffer(block)
    weakref.finalize(view, _give_back, size, block).atexit = False
    return torch.frombuffer(view, dtype=dtype, count=count).view(shape)


def _fresh(size: int) -> mmap.mmap:
    # Private: a process forked from this one (a loader's worker) would else write into the same memory.
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(size: int, block: mmap.mmap) -> None:
    if size + sum(each * len(blocks) for each, blocks in list(_idle.items())) <= _idle_limit:
        _idle[size].append(block)


def keep_pages() -> None:
    """Give nothing back to the system, the pool and glibc alike, so that torch's own large tensors, too, get pages that are there."""
    global _idle_limit
    _idle_limit = math.inf
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        warnings.warn("pages are kept with glibc only, and this is another C library: nothing changes", RuntimeWarning, stacklevel=2)
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


if os.environ.get("SPIKEQUANT_KEEP_PAGES", "0") not in ("", "0"):
    keep_pages()
