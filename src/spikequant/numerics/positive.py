"""A positive number as a parameter that may be any: ``softplus``, and back."""

import torch
from torch import Tensor
from torch.nn import functional


def positive(raw: Tensor) -> Tensor:
    """``log(1 + exp(raw))``, by way of float64: in float32 a GPU and a CPU differ in the last bit, and levels would with it.

    >>> round(positive(torch.tensor(0.0)).item(), 4)
    0.6931
    """
    return functional.softplus(raw.double()).to(raw.dtype)


def raw_of(value: float) -> Tensor:
    """What ``positive`` turns into ``value``: ``value + log(1 - exp(-value))``, in float64 and then float32.

    >>> round(positive(raw_of(0.3)).item(), 6)
    0.3
    """
    wide = torch.tensor(value, dtype=torch.float64)
    return (wide + torch.log(-torch.expm1(-wide))).float()
