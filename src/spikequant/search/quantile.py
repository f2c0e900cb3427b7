"""Student's t, for intervals over a few seeds."""

import math

from spikequant.errors import SpecError


def half_width(confidence: float, freedom: int) -> float:
    """How many standard errors an interval reaches to either side, for whole degrees of freedom.

    Equation: the t with ``P(|T| <= t) = confidence``, by bisection of the closed form of the distribution.

    Raises:
        SpecError: confidence outside (0, 1), or no degree of freedom.

    Source: M. Abramowitz, I. Stegun, "Handbook of mathematical functions", 26.7.3 and 26.7.4.

    >>> round(half_width(0.95, 4), 3)
    2.776
    """
    if not 0 < confidence < 1 or freedom < 1:
        raise SpecError(f"an interval needs a confidence in (0, 1) and at least 1 degree of freedom, got {confidence} and {freedom}")
    low, high = 0.0, math.pi / 2  # angles, since t itself has no bound
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """``P(|T| <= tan(angle) sqrt(freedom))``."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, cosine) if freedom % 2 else (1.0, 1.0)
    for n in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= cosine**2 * (n - 1) / n
        total += term
    if freedom % 2 == 0:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))
