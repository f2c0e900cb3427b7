"""SQUAT's levels: dense at the threshold (or at zero), exponentially sparser away from it."""

import torch
from torch import Tensor

from spikequant.errors import SpecError

BASES = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925}
BASE_FROM_8_BITS = 0.95


def exponential_levels(bits: int, low: float, high: float, center: float, base: float | None = None) -> Tensor:
    """``2^bits`` ascending levels from ``low`` to ``high``, their gaps shrinking by ``base`` towards ``center``.

    Equations, with L = 2^bits and m = base: the lower part has ``n = floor(L (center - low) / (high - low))`` levels with
    gaps ``(center - low) m^j / sum m^i``, j = 0 .. n - 1, starting at ``low``; the upper part has ``L - n`` levels with gaps
    ``(high - center) m^j / sum m^i``, j = L - n - 1 .. 0, starting above ``center`` and ending at ``high``.

    Computed in float64; still, from 9 bits on the default bases crowd levels closer than float32 can tell apart.
    Source: SQUAT, section III-A, in the operational form of snnTorch 1.0 ``state_quant``.

    Raises:
        SpecError: ``center`` does not lie between the ends.

    >>> [round(level, 6) for level in exponential_levels(2, -1.0, 1.2, 1.0).tolist()]
    [-1.0, 0.801802, 0.981982, 1.2]
    """
    if not low < center < high:
        raise SpecError(f"center must lie between {low} and {high}, got {center}; move a limit beyond it")
    count = 2**bits
    below = int(count * (center - low) / (high - low))
    base = BASES.get(bits, BASE_FROM_8_BITS) if base is None else base
    lower = low + _cumulative(center - low, base, below)[:-1] if below else torch.empty(0, dtype=torch.float64)
    upper = center + _cumulative(high - center, base, count - below, rising=True)[1:]
    return torch.cat([lower, upper])


def _cumulative(span: float, base: float, parts: int, rising: bool = False) -> Tensor:
    """``parts`` gaps that sum to ``span``, accumulated from 0: ``parts + 1`` values."""
    powers = base ** torch.arange(parts, dtype=torch.float64)
    gaps = span * powers / powers.sum()
    if rising:
        gaps = gaps.flip(0)
    return torch.cat([torch.zeros(1, dtype=torch.float64), gaps.cumsum(0)])
