"""On additive losses the allocations are the true optima."""

from itertools import product

import pytest

from spikequant.errors import SpecError
from spikequant.search import Candidate, Shape, Verdict, asked, strategy

SHAPE = Shape((3, 3, 3))
WIDTHS = (8, 4, 2)
SIZES, HURT = (100, 10, 50), (0.001, 0.05, 0.01)
OBJECTIVES = ("accuracy", "memory", "emd")


def judge(candidate: Candidate) -> Verdict:
    memory = sum(size * WIDTHS[level] for size, level in zip(SIZES, candidate.levels, strict=True))
    loss = sum(hurt * level**2 for hurt, level in zip(HURT, candidate.levels, strict=True))
    return Verdict(True, (loss, float(memory), loss / 2))


def test_every_allocation_is_the_best_of_its_size() -> None:
    found = asked(strategy("sensitivity", SHAPE, OBJECTIVES, 1, 0), judge)
    alone = {levels for levels in product(range(3), repeat=3) if sum(level > 0 for level in levels) <= 1}
    mixed = [candidate for candidate in found if candidate.levels not in alone]
    assert mixed
    everything = [judge(Candidate(0, levels, 0)).costs for levels in product(range(3), repeat=3)]
    for candidate in mixed:
        loss, memory, _ = found[candidate].costs
        assert not any(other[0] < loss - 1e-12 and other[1] <= memory for other in everything)
    assert Candidate(0, (2, 2, 2), 0) in found
    assert len(found) < SHAPE.size


def test_the_axis_that_hurts_least_is_coarsened_first() -> None:
    found = asked(strategy("sensitivity", SHAPE, OBJECTIVES, 1, 0), judge)
    coarse = [candidate.levels for candidate in found if sum(level > 0 for level in candidate.levels) > 1]
    assert all(levels[1] <= levels[0] for levels in coarse)


def test_roundings_are_spread_each_by_itself() -> None:
    found = asked(strategy("sensitivity", Shape((2, 2, 2), roundings=2), OBJECTIVES, 1, 0), judge)
    assert {candidate.rounding for candidate in found} == {0, 1}


def test_one_sided_objectives_are_refused() -> None:
    with pytest.raises(SpecError, match="lack one side"):
        next(strategy("sensitivity", SHAPE, ("accuracy", "emd"), 1, 0))
