"""Observers: the range that a fitted grid should cover, read off ``[row, value]``."""

from collections.abc import Callable

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Grid, recording, snap

CLIPS = 100
SAMPLE = 2**16


def minmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each row.

    >>> [bound.tolist() for bound in minmax(torch.tensor([[3.0, -1.0]]))]
    [[-1.0], [3.0]]
    """
    return x.amin(1), x.amax(1)


def percentile(x: Tensor, upper: float) -> tuple[Tensor, Tensor]:
    """The values between which ``upper`` percent lie from either side (100: all)."""
    x = thinned(x)
    return torch.quantile(x, 1 - upper / 100, dim=1), torch.quantile(x, upper / 100, dim=1)


def mean_square(x: Tensor, over: Callable[[Tensor, Tensor], Grid]) -> tuple[Tensor, Tensor]:
    """The shrunken range whose grid has the least mean square error, of 100 equal steps from 1 % to the whole range."""
    x = thinned(x)
    low, high = x.amin(1), x.amax(1)
    best = torch.full_like(low, torch.inf)
    chosen_low, chosen_high = low.clone(), high.clone()
    for part in torch.linspace(1 / CLIPS, 1, CLIPS).tolist():
        grid = over(*widened(low * part, high * part))
        error = (snap(grid, x) - x).square().mean(1)
        better = error < best
        best = torch.where(better, error, best)
        chosen_low, chosen_high = torch.where(better, low * part, chosen_low), torch.where(better, high * part, chosen_high)
    return chosen_low, chosen_high


def widened(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The same range, but never empty in float32, as grids are: constant values (all zero, say) still need a step."""
    gap = torch.finfo(torch.float32).tiny ** 0.5
    return low, torch.where(high.float() > low.float(), high, low + low.abs().clamp(min=gap) * 2.0**-10)


def symmetric(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest range around zero that holds both ends."""
    reach = torch.maximum(low.abs(), high.abs())
    return -reach, reach


def refuse_non_finite(x: Tensor, what: str, ends: tuple[Tensor, Tensor] | None = None) -> None:
    """Raise where a value is NaN or infinite; ``ends`` are the smallest and largest of all rows, where they are known.

    Raises:
        SpecError: names the count.
    """
    x = x.detach()
    if not x.numel() or recording():
        return
    # The extremes tell at a twentieth of the cost of asking every value: one NaN makes both of them NaN.
    if not torch.isfinite(torch.stack(ends or (x.amin(), x.amax()))).all():
        raise SpecError(f"{what}: {int((~torch.isfinite(x)).sum())} of {x.numel()} values are NaN or infinite; a grid needs finite values")


def thinned(x: Tensor) -> Tensor:
    """Every k-th value of long rows: quantiles of 65 536 values are as good, and torch's limit is 16 million."""
    stride = max(1, x.shape[1] // SAMPLE)
    return x[:, ::stride]
