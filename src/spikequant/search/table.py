"""The strategies by name."""

from spikequant.errors import SpecError, unknown
from spikequant.search.candidate import Shape, Strategy, every
from spikequant.search.halving import halving
from spikequant.search.published import published
from spikequant.search.samplers import SAMPLERS, sampled

ENUMERATIONS = {"every": every, "halving": halving, "published": published}
STRATEGIES = (*ENUMERATIONS, *SAMPLERS)


def strategy(name: str, shape: Shape, objectives: int, evaluations: int, seed: int) -> Strategy:
    """The strategy of this name; ``objectives``, ``evaluations`` and ``seed`` are for samplers.

    Raises:
        SpecError: an unknown name, or a space that the strategy refuses.

    >>> next(strategy("every", Shape((3,)), objectives=1, evaluations=1, seed=0)).levels
    (0,)
    """
    if name not in STRATEGIES:
        raise SpecError(unknown("strategy", name, STRATEGIES, "search"))
    return ENUMERATIONS[name](shape) if name in ENUMERATIONS else sampled(shape, name, objectives, evaluations, seed)
