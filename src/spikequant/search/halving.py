"""The exploration improved: each evaluation settles as many candidates as it can."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from spikequant.errors import SpecError
from spikequant.search.candidate import Candidate, Shape, Strategy, refuse_empty

LARGEST = 8192  # levels' product: the table of dominance has its square in bits

Mask = NDArray[np.bool_]


def halving(shape: Shape) -> Strategy:
    """Finds the coarsest candidates that pass, for each scheme and rounding by itself.

    Assumes that what passes also passes when finer, and what fails also fails when coarser. The next candidate is the one
    whose answer settles most others in the worse case. Then the assumption is tried where it matters: the candidates one level
    coarser than a passing one are evaluated even if they count as failed; whatever contradicts a settled one opens it again.

    Raises:
        SpecError: the space is empty, or has more than 8 192 combinations of levels.

    Source: ours; Q-SpiNN's Algorithm 1 shrinks one bound for all roundings.

    >>> from spikequant.search.candidate import Verdict, asked
    >>> found = asked(halving(Shape((9,))), lambda candidate: Verdict(candidate.levels[0] <= 5))
    >>> len(found), max(each.levels[0] for each, verdict in found.items() if verdict.passed)
    (3, 5)
    """
    refuse_empty(shape)
    places = np.array(list(product(*map(range, shape.levels))), dtype=np.int64)
    if len(places) > LARGEST:
        raise SpecError(f"{len(places)} combinations of levels; halving takes at most {LARGEST}: use tpe or nsga2, or fewer levels")
    coarser: Mask = np.all(places[None, :, :] >= places[:, None, :], axis=2)  # [a, b]: b is a or coarser
    for scheme, rounding in product(range(shape.schemes), range(shape.roundings)):
        yield from _frontier(places, coarser, scheme, rounding)


def _frontier(places: NDArray[np.int64], coarser: Mask, scheme: int, rounding: int) -> Strategy:
    passed, failed = np.zeros(len(places), bool), np.zeros(len(places), bool)
    while (chosen := _next(places, coarser, passed, failed)) is not None:
        verdict = yield Candidate(scheme, tuple(places[chosen].tolist()), rounding)
        (passed if verdict.passed else failed)[chosen] = True


def _next(places: NDArray[np.int64], coarser: Mask, passed: Mask, failed: Mask) -> int | None:
    holds, breaks = coarser[:, passed].any(1), coarser[failed].any(0)
    evaluated = passed | failed
    open_ = ~evaluated & (holds == breaks)  # settled by nothing, or by answers that contradict each other
    if open_.any():
        settled = np.minimum(coarser[open_][:, open_].sum(1), coarser[open_][:, open_].sum(0))
        return int(np.flatnonzero(open_)[settled.argmax()])
    doubtful = np.flatnonzero(~evaluated & breaks)
    beside = [index for index in doubtful if _is_beside(places[index], places[passed])]
    return int(beside[0]) if beside else None


def _is_beside(place: NDArray[np.int64], passing: NDArray[np.int64]) -> bool:
    """Whether one level finer on one axis lies a candidate that passed."""
    step = place - passing
    return bool(((step >= 0).all(1) & (step.sum(1) == 1)).any())
