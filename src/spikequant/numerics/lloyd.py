"""Levels that are the means of what is rounded to them, some of them held in place."""

import torch
from torch import Tensor

from spikequant.numerics.grid import Table
from spikequant.numerics.snap import encode


def fit_levels(values: Tensor, levels: Tensor, held: Tensor) -> Tensor:
    """One step of Lloyd and Max: each level that is not ``held`` moves to the mean of the values nearest to it.

    Equation: ``l_k = mean(v : code(v) = k)``; a level that no value takes stays. Ascending levels stay ascending.

    Shapes: ``values`` any, ``levels`` and ``held`` (bool) ``[level]``. Source: Lloyd 1982, Eq. 2.4.

    >>> values = torch.tensor([-0.4, 0.1, 0.3, 0.5, 0.9])
    >>> fit_levels(values, torch.tensor([0.0, 0.5, 1.0]), torch.tensor([True, False, True])).tolist()
    [0.0, 0.4000000059604645, 1.0]
    """
    return means(levels, held, *level_sums(values, levels))


def level_sums(values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the values are nearest to each level, and their sum, in float64."""
    codes = encode(Table(levels), values).flatten().long()
    wide = values.flatten().double()
    count = torch.zeros(len(levels), dtype=torch.float64, device=levels.device).scatter_add_(0, codes, torch.ones_like(wide))
    return count, torch.zeros_like(count).scatter_add_(0, codes, wide)


def means(levels: Tensor, held: Tensor, count: Tensor, total: Tensor) -> Tensor:
    """The mean of each level's values, where it has any and is not held."""
    return torch.where(held | (count == 0), levels, (total / count.clamp(min=1)).to(levels.dtype))
