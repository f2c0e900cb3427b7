"""Q-SpiNN's exploration as published, over any number of axes."""

from spikequant.search.candidate import Candidate, Shape, Strategy, refuse_empty


def published(shape: Shape) -> Strategy:
    """Algorithm 1: nested loops whose bounds shrink when one axis alone fails.

    A failure with all other axes at their finest level ends its axis there, for every rounding; failures of several axes
    together end nothing. A failure of the finest candidate of all counts as one of the first axis, as printed. Loops that are
    under way run to their end.

    Raises:
        SpecError: the space is empty.

    Source: Q-SpiNN, Algorithm 1.

    >>> from spikequant.search.candidate import Verdict, asked
    >>> [each.levels for each in asked(published(Shape((3, 1))), lambda candidate: Verdict(candidate.levels[0] < 1))]
    [(0, 0), (1, 0)]
    """
    refuse_empty(shape)
    for scheme in range(shape.schemes):
        yield from _nest(scheme, shape.roundings, list(shape.levels), [])


def _nest(scheme: int, roundings: int, bounds: list[int], place: list[int]) -> Strategy:
    axis, level = len(place), 0
    if axis == len(bounds):
        for rounding in range(roundings):
            verdict = yield Candidate(scheme, tuple(place), rounding)
            if not verdict.passed:
                _shrink(bounds, place)
        return
    while level < bounds[axis]:
        yield from _nest(scheme, roundings, bounds, [*place, level])
        level += 1


def _shrink(bounds: list[int], place: list[int]) -> None:
    coarse = [axis for axis, level in enumerate(place) if level > 0]
    if len(coarse) <= 1:
        axis = coarse[0] if coarse else 0
        bounds[axis] = min(bounds[axis], place[axis])
