"""Layers under bfloat16 autocast on a processor without instructions for it: in float32, of numbers rounded to bfloat16.

Sums are float32 and what comes out is rounded to bfloat16, as with the instructions; torch's own form takes one number at a time there.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

HALF = torch.bfloat16


@cache
def lacks_half() -> bool:
    """Whether torch computes bfloat16 on this processor without instructions for it."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "NO AVX")


def fits(x: Tensor) -> bool:
    """Whether a layer of ``x`` is to be computed here."""
    half = x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == HALF
    return half and x.dtype in (HALF, torch.float32) and lacks_half()


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """``torch.nn.functional.conv2d`` in bfloat16, for calls that it ``fits``."""
    with torch.autocast("cpu", enabled=False):
        return functional.conv2d(_rounded(x), _rounded(weight), None if bias is None else _rounded(bias), stride, padding).to(HALF)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``torch.nn.functional.linear`` in bfloat16, for calls that it ``fits``."""
    with torch.autocast("cpu", enabled=False):
        return functional.linear(_rounded(x), _rounded(weight), None if bias is None else _rounded(bias)).to(HALF)


def _rounded(x: Tensor) -> Tensor:
    return x.to(HALF).float()
