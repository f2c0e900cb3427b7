"""Algorithm 1 on accuracies made up for it."""

import pytest

from spikequant.errors import SpecError
from spikequant.search import Candidate, Shape, Verdict, asked, every, published

CUBE = Shape((9, 9, 9), schemes=2, roundings=3)


def axis_aligned(candidate: Candidate) -> Verdict:
    return Verdict(all(level <= most for level, most in zip(candidate.levels, (6, 4, 2), strict=True)))


def passing(found: dict[Candidate, Verdict]) -> set[Candidate]:
    return {candidate for candidate, verdict in found.items() if verdict.passed}


def test_finds_what_brute_force_finds_where_failures_are_axis_aligned() -> None:
    found, all_ = asked(published(CUBE), axis_aligned), asked(every(CUBE), axis_aligned)
    assert passing(found) == passing(all_)
    assert len(found) < len(all_) // 3


def test_loops_under_way_run_to_their_end() -> None:
    found = asked(published(Shape((2, 2))), lambda candidate: Verdict(candidate.levels[0] == 0))
    assert [each.levels for each in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]  # (1, 0) ends the first axis, (1, 1) still runs


def test_failure_of_the_finest_ends_its_scheme() -> None:
    found = asked(published(Shape((3, 1), schemes=2)), lambda candidate: Verdict(candidate.scheme == 1))
    assert [each for each in found if each.scheme == 0] == [Candidate(0, (0, 0), 0)]
    assert len(passing(found)) == 3


def test_one_failing_rounding_ends_the_axis_for_all() -> None:
    found = asked(published(Shape((4,), roundings=2)), lambda candidate: Verdict(candidate.rounding == 1 or candidate.levels[0] < 1))
    assert {each.levels[0] for each in found} == {0, 1}


def test_failures_of_two_axes_together_end_nothing() -> None:
    found = asked(published(Shape((3, 3))), lambda candidate: Verdict(sum(candidate.levels) < 2 or 0 in candidate.levels))
    assert len(found) == 9


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(SpecError, match="is empty"):
        next(published(Shape((0,))))
