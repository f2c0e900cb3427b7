"""The CPU twin of ``mixed``: C over all values in one pass, the mask of one sample repeated."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from spikequant.numerics.kernels.lif_native import pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.quant_native import is_dense, laid_as, masked, order_of, ready, threads_for


def fits(x: Tensor, hard: Tensor, frozen: Tensor) -> bool:
    """Whether the twin covers this call: dense float32 on the CPU, ``hard`` laid out alike, a mask of its shape or of one sample's."""
    if not is_dense(x) or library() is None or hard.dtype != x.dtype or hard.shape != x.shape or hard.stride() != x.stride():
        return False
    if frozen.dtype != torch.bool or frozen.device != x.device:
        return False
    return frozen.shape == x.shape or (frozen.shape == x.shape[1:] and order_of(x)[0] == 0)


def mixed(x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool = False) -> Tensor:
    """The twin of ``spikequant.numerics.freezing.mixed``, for calls that it ``fits``."""
    value: Tensor = _Mixed.apply(x, hard, frozen, straight_through)  # type: ignore[no-untyped-call]
    return value


def run(c: ctypes.CDLL, x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool) -> tuple[Tensor, Tensor]:
    """The mixed values, and where they pass a gradient."""
    laid = frozen.expand(x.shape).permute(order_of(x))
    mask = (laid[0] if frozen.shape != x.shape else laid).contiguous()
    y, is_open = laid_as(x), torch.empty_like(x, dtype=torch.bool)
    places = (pointer(each) for each in (x, hard, mask, y, is_open))
    _declared(c).sq_mixed(x.numel() // mask.numel(), mask.numel(), straight_through, *places, threads_for(x))
    return y, is_open


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    place, count, whole = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    c.sq_mixed.argtypes = [count, count, whole, *[place] * 5, whole]
    return c


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool) -> Tensor:
        y, ctx.open = run(ready(), x, hard, frozen, straight_through)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return masked(gradients[0], ctx.open), None, None, None
