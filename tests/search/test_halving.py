"""Frontiers found by halving equal those of brute force; a broken assumption is seen at the frontier."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikequant.errors import SpecError
from spikequant.search import Candidate, Shape, Verdict, asked, every, halving

CUBE = Shape((9, 9, 9))


def frontier(found: dict[Candidate, Verdict]) -> set[tuple[int, ...]]:
    passed = {candidate.levels for candidate, verdict in found.items() if verdict.passed}
    return {one for one in passed if not any(other != one and all(map(int.__ge__, other, one)) for other in passed)}


@given(st.tuples(*[st.integers(-1, 8)] * 3), st.integers(0, 24))
def test_same_frontier_as_brute_force_for_a_fraction_of_its_price(most: tuple[int, int, int], total: int) -> None:
    def judge(candidate: Candidate) -> Verdict:
        return Verdict(all(map(int.__le__, candidate.levels, most)) and sum(candidate.levels) <= total)

    found = asked(halving(CUBE), judge)
    assert frontier(found) == frontier(asked(every(CUBE), judge))
    assert len(found) <= CUBE.size // 5


def test_a_coarser_one_that_passes_against_the_assumption_is_found() -> None:
    def judge(candidate: Candidate) -> Verdict:
        return Verdict(candidate.levels[0] in (0, 1, 2, 4))  # 3 fails, 4 passes

    found = asked(halving(Shape((6,))), judge)
    assert max(each.levels[0] for each, verdict in found.items() if verdict.passed) in (2, 4)

    def dented(candidate: Candidate) -> Verdict:
        return Verdict(candidate.levels in ((0, 0), (0, 1), (1, 1)))  # (1, 0) fails though it is finer than (1, 1)

    assert (1, 1) in frontier(asked(halving(Shape((2, 2))), dented))


def test_roundings_and_schemes_have_frontiers_of_their_own() -> None:
    shape = Shape((5,), schemes=2, roundings=2)
    found = asked(halving(shape), lambda candidate: Verdict(candidate.levels[0] <= candidate.scheme + 2 * candidate.rounding))
    best = {
        (s, r): max(c.levels[0] for c, v in found.items() if v.passed and (c.scheme, c.rounding) == (s, r)) for s in (0, 1) for r in (0, 1)
    }
    assert best == {(0, 0): 0, (1, 0): 1, (0, 1): 2, (1, 1): 3}


def test_a_space_too_large_or_empty_is_refused() -> None:
    with pytest.raises(SpecError, match="8193 combinations of levels; halving takes at most 8192: use tpe"):
        next(halving(Shape((8193,))))
    with pytest.raises(SpecError, match="is empty"):
        next(halving(Shape(())))
