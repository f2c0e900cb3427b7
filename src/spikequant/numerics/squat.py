"""SQUAT's levels: dense at the threshold (or at zero), exponentially sparser away from it; and the repairs that they need."""

from typing import NamedTuple

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Table
from spikequant.numerics.soundness import holds

BASES = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925}
BASE_FROM_8_BITS = 0.95

Reals = Tensor | float


class Bases(NamedTuple):
    """By what gaps shrink towards the center, from below and from above; None takes that of the bits."""

    lower: float | None = None
    upper: float | None = None


USUAL = Bases()


def exponential_levels(count: int, low: Reals, high: Reals, center: float, bases: Bases = USUAL, below: int | None = None) -> Tensor:
    """``count`` ascending levels from ``low`` to ``high``, gaps shrinking towards ``center``: float64 ``[level]``, or ``[row, level]``.

    Equations, with L = count and bases m below, u above: the lower part has ``n = floor(L (center - low) / (high - low))`` levels
    (or ``below``) with gaps ``(center - low) m^j / sum m^i``, j = 0 .. n - 1, starting at ``low``; the upper part has ``L - n``
    levels with gaps ``(high - center) u^j / sum u^i``, j = L - n - 1 .. 0, starting above ``center`` and ending at ``high``. Both in
    closed form: ``sum of the first k gaps = (1 - m^k) / (1 - m^n)`` of the part. A part without extent has no level, the center
    itself is none. The paper's Eq. for this case is dimensionally inconsistent.

    From 9 bits on the default bases crowd levels closer than float32 can tell apart.
    Source: SQUAT, section III-A, in the operational form of snnTorch 1.0 ``state_quant``.

    Raises:
        SpecError: ``center`` lies outside the range.

    >>> [round(level, 6) for level in exponential_levels(4, -1.0, 1.2, 1.0).tolist()]
    [-1.0, 0.801802, 0.981982, 1.2]
    """
    low, high = (torch.as_tensor(end, dtype=torch.float64).unsqueeze(-1) for end in (low, high))
    if not holds((low <= center) & (center <= high) & (low < high)):
        raise SpecError(f"center must lie between {float(low.max())} and {float(high.min())}, got {center}; move a limit beyond it")
    usual = BASES.get((count - 1).bit_length(), BASE_FROM_8_BITS)
    m, u = (usual if base is None else base for base in bases)
    n = torch.floor(count * (center - low) / (high - low)) if below is None else torch.full_like(low, below)
    index = torch.arange(count, dtype=torch.float64, device=low.device)
    lower = low + (center - low) * (1 - m**index) / (1 - m**n)
    place, part = index - n, count - n
    upper = center + (high - center) * (u ** (part - 1 - place) - u**part) / (1 - u**part)
    return torch.where(index < n, lower, upper)


def below_zero(levels: Tensor, low: Reals, count: int) -> Tensor:
    """``count`` equally spaced levels from ``low`` up to, and without, zero, put before ``levels``.

    >>> below_zero(torch.tensor([0.0, 1.0]), -1.0, 2).tolist()
    [-1.0, -0.5, 0.0, 1.0]
    """
    low = torch.as_tensor(low, dtype=levels.dtype).unsqueeze(-1)
    return torch.cat([low * (1 - torch.arange(count, dtype=levels.dtype, device=levels.device) / count), levels], dim=-1)


def anchored(levels: Tensor, zero: bool, threshold: float | None) -> Tensor:
    """``levels`` with the nearest one moved onto zero, and the nearest above that onto ``threshold``, where these are wanted.

    >>> anchored(torch.tensor([-1.0, -0.25, 0.5, 1.25]), True, 1.0).tolist()
    [-1.0, 0.0, 0.5, 1.0]
    """
    last = levels.shape[-1] - 1
    floor = torch.full_like(levels[..., :1], -1, dtype=torch.int64)
    if zero:
        floor = levels.abs().argmin(-1, keepdim=True).clamp(max=last if threshold is None else last - 1)
        levels = levels.scatter(-1, floor, 0.0)
    if threshold is not None:
        free = torch.arange(last + 1, device=levels.device) > floor
        nearest = torch.where(free, (levels - threshold).abs(), torch.inf).argmin(-1, keepdim=True)
        levels = levels.scatter(-1, nearest, threshold)
    return levels


def leaking(grid: Table, decay: float) -> Table:
    """The same levels with edges such that no level but zero outlasts a leak: ``decay * level`` rounds to a level nearer to zero.

    Nearest rounding alone cannot do this above a decay of 1/2: the least positive level q falls to ``decay q > q / 2``, which is
    nearest to q again. So the edge below a positive q lies at ``max(midpoint, decay q)``, and so for negative ones. What is
    rounded there errs towards zero, by less than the leak of one step.

    Raises:
        SpecError: zero is not a level, or decay is not in [0, 1).

    >>> leaking(Table(torch.tensor([-1.0, 0.0, 1.0])), 0.25).edges.tolist()
    [-0.5, 0.5]
    """
    if not 0 <= decay <= 1 - 2.0**-20:
        raise SpecError(f"decay must be at least 0 and below 1, got {decay}: without a leak nothing falls; leave it out")
    if not holds((grid.levels == 0).any(-1)):
        raise SpecError("only a grid with zero as a level lets every other one fall towards it; put zero on the grid")
    lower, upper = grid.levels[..., :-1], grid.levels[..., 1:]
    middles = ((lower.double() + upper.double()) / 2).float()
    falls = decay * (1 + 2.0**-22)  # a few units in the last place more: the forms of a leak round differently
    to_zero = torch.minimum(middles, falls * lower), torch.maximum(middles, falls * upper)
    return grid._replace(edges=torch.where(lower < 0, *to_zero))
