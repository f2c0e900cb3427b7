"""The strategies by name."""

from collections.abc import Sequence

from spikequant.errors import SpecError, unknown
from spikequant.search.candidate import Shape, Strategy, every
from spikequant.search.halving import halving
from spikequant.search.published import published
from spikequant.search.samplers import SAMPLERS, sampled
from spikequant.search.sensitivity import sensitivity

ENUMERATIONS = {"every": every, "halving": halving, "published": published}
STRATEGIES = (*ENUMERATIONS, "sensitivity", *SAMPLERS)


def strategy(name: str, shape: Shape, objectives: Sequence[str], evaluations: int, seed: int) -> Strategy:
    """The strategy of this name; ``objectives`` name the costs that it is told, ``evaluations`` and ``seed`` are for samplers.

    Raises:
        SpecError: an unknown name, or a space that the strategy refuses.

    >>> next(strategy("every", Shape((3,)), ("accuracy",), evaluations=1, seed=0)).levels
    (0,)
    """
    if name not in STRATEGIES:
        raise SpecError(unknown("strategy", name, STRATEGIES, "search"))
    if name == "sensitivity":
        return sensitivity(shape, objectives)
    return ENUMERATIONS[name](shape) if name in ENUMERATIONS else sampled(shape, name, len(objectives), evaluations, seed)
