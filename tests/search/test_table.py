import pytest

from spikequant.errors import SpecError
from spikequant.search import STRATEGIES, Candidate, Shape, Verdict, asked, strategy


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_asks_for_candidates_of_the_space(name: str) -> None:
    shape = Shape((3, 4), schemes=2, roundings=2)

    def judge(candidate: Candidate) -> Verdict:
        coarse = float(sum(candidate.levels))
        return Verdict(coarse < 3, (coarse, -coarse))

    found = asked(strategy(name, shape, ("accuracy", "memory"), 40, 0), judge)
    assert found
    for scheme, levels, rounding in found:
        assert Candidate(scheme, levels, rounding) in found
        assert 0 <= scheme < 2
        assert 0 <= rounding < 2
        assert all(0 <= level < count for level, count in zip(levels, shape.levels, strict=True))


def test_an_unknown_strategy_is_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"'halvin'.*'halving'"):
        strategy("halvin", Shape((2,)), ("emd",), 1, 0)
