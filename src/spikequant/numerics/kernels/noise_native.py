"""The CPU twin of ``uniform``: C over the elements that are named."""

import ctypes

import torch
from torch import Tensor

from spikequant.numerics.kernels.native import library


def fits(index: Tensor) -> bool:
    """Whether the twin covers this call."""
    return index.device.type == "cpu" and index.dtype == torch.int64 and index.is_contiguous() and library() is not None


def uniform(seed: int, layer: int, step: int, index: Tensor) -> Tensor:
    """The twin of ``spikequant.numerics.rounding.uniform``, for calls that it ``fits``."""
    c = library()
    assert c is not None, "fits() asked for it"
    words = (ctypes.c_int64(each) for each in (seed, layer, step, index.numel()))
    noise = torch.empty(index.shape, dtype=torch.float32, device="cpu")
    c.sq_uniform(*words, ctypes.c_void_p(index.data_ptr()), ctypes.c_void_p(noise.data_ptr()))
    return noise
