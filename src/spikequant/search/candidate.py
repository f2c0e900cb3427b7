"""What a search strategy asks for, and what it is told."""

from collections.abc import Callable, Generator
from itertools import product
from math import prod
from typing import NamedTuple

from spikequant.errors import SpecError


class Candidate(NamedTuple):
    """A configuration as indices: the scheme, one level for each axis (0 the finest), and the rounding."""

    scheme: int
    levels: tuple[int, ...]
    rounding: int


class Verdict(NamedTuple):
    """What an evaluation found: whether the accuracy is within the tolerance, and the objectives, all to be minimized."""

    passed: bool
    costs: tuple[float, ...] = ()


class Shape(NamedTuple):
    """How many choices a space has: levels of each axis, finest first; schemes; roundings."""

    levels: tuple[int, ...]
    schemes: int = 1
    roundings: int = 1

    @property
    def size(self) -> int:
        """Number of candidates."""
        return prod(self.levels) * self.schemes * self.roundings


Strategy = Generator[Candidate, Verdict, None]


def every(shape: Shape) -> Strategy:
    """All candidates, the finest first.

    >>> [each.levels for each in asked(every(Shape((2, 2))), lambda candidate: Verdict(True))]
    [(0, 0), (0, 1), (1, 0), (1, 1)]

    Raises:
        SpecError: the space is empty.
    """
    refuse_empty(shape)
    for scheme, levels, rounding in product(range(shape.schemes), product(*map(range, shape.levels)), range(shape.roundings)):
        yield Candidate(scheme, levels, rounding)


def refuse_empty(shape: Shape) -> None:
    """Raise where there is nothing to search."""
    if not shape.levels or shape.size == 0:
        raise SpecError(
            f"the search space is empty: levels {shape.levels}, {shape.schemes} schemes, {shape.roundings} roundings; give each 1 or more"
        )


def asked(strategy: Strategy, judge: Callable[[Candidate], Verdict]) -> dict[Candidate, Verdict]:
    """All that a strategy asked for with what it was told, in order; what was judged before is not judged again."""
    known: dict[Candidate, Verdict] = {}
    candidate = next(strategy, None)
    while candidate is not None:
        if candidate not in known:
            known[candidate] = judge(candidate)
        try:
            candidate = strategy.send(known[candidate])
        except StopIteration:
            candidate = None
    return known
