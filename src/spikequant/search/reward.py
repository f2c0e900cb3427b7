"""Q-SpiNN's reward: one number for accuracy and memory."""

from collections.abc import Sequence
from typing import NamedTuple

from spikequant.errors import SpecError

PUBLISHED_MU = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


class Scored(NamedTuple):
    """Accuracy as a fraction, and memory as a share of the float network's."""

    accuracy: float
    memory_share: float


def reward(scored: Scored, mu: float) -> float:
    """``R = accuracy - mu * memory / memory of the float network``.

    Raises:
        SpecError: accuracy outside [0, 1] (a percentage?), a memory share not above 0, or mu below 0.

    Source: Q-SpiNN, Eqs. 5 and 6.

    >>> round(reward(Scored(0.8656, 1 / 3.194), mu=0.1), 6)
    0.834291
    """
    if not 0 <= scored.accuracy <= 1:
        raise SpecError(f"accuracy {scored.accuracy} must be a fraction in [0, 1]; divide a percentage by 100")
    if not scored.memory_share > 0 or not mu >= 0:
        raise SpecError(f"memory share {scored.memory_share} must be above 0 and mu {mu} at least 0")
    return scored.accuracy - mu * scored.memory_share


def select(candidates: Sequence[Scored], mu: float) -> int:
    """Index of the highest reward; of equals the smaller memory, then the first.

    Raises:
        SpecError: there is no candidate, or one is out of its range.

    >>> select([Scored(0.8656, 1 / 3.194), Scored(0.8627, 1 / 3.94), Scored(0.8624, 1 / 3.987)], mu=1.0)
    2
    """
    if not candidates:
        raise SpecError("the reward selects among candidates, got none: nothing met the tolerance")
    rated = [(reward(each, mu), -each.memory_share) for each in candidates]
    return rated.index(max(rated))
