"""Currents as a loop over time in Python takes them, and its values as they are handed back."""

from torch import Tensor

from spikequant.numerics import widened
from spikequant.numerics.scan import check


def sequence(current: Tensor, steps: int | None) -> Tensor:
    """A current of every step, half precision and whole numbers as float32; with ``steps``, its one time step stands for that many.

    Raises:
        MismatchError: an empty time or batch axis, or ``steps`` beside a current of several.

    >>> import torch
    >>> sequence(torch.ones(1, 1, 2, dtype=torch.bfloat16), 3).shape
    torch.Size([3, 1, 2])
    """
    check(current, None, steps)
    wide = widened(current) if current.is_floating_point() else current.float()
    return wide if steps is None else wide.expand(steps, *wide.shape[1:])


def as_given(value: Tensor, current: Tensor) -> Tensor:
    """A value in the dtype of the current from which it came, where that holds fractions.

    >>> import torch
    >>> as_given(torch.tensor([0.5]), torch.tensor([1])).tolist()
    [0.5]
    """
    return value.to(current.dtype) if current.is_floating_point() else value
