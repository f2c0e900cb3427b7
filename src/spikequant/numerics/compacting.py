"""Whole numbers from 0 to 255, as spikes and their sums are, in a byte each."""

import torch
from torch import Tensor


def compact(x: Tensor) -> Tensor | None:
    """``x`` as bytes, laid out alike; None where a value is no whole number from 0 to 255.

    >>> compact(torch.tensor([0.0, 3.0])), compact(torch.tensor([0.5]))
    (tensor([0, 3], dtype=torch.uint8), None)
    """
    # Most values that are not whole show it in one sample of one step.
    whole = torch.equal(x[:1, :1].byte().to(x.dtype), x[:1, :1]) if x.ndim > 1 else True
    small = x.byte() if whole else None
    return small if small is not None and torch.equal(small.to(x.dtype), x) else None


def expanded(small: Tensor, dtype: torch.dtype) -> Tensor:
    """The values of bytes.

    >>> expanded(torch.tensor([2], dtype=torch.uint8), torch.float32)
    tensor([2.])
    """
    return small.to(dtype)
