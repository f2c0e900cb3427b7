import pytest

from spikequant.errors import SpecError
from spikequant.search import Candidate, Shape, Verdict, asked, strategy
from spikequant.search.samplers import SAMPLERS, sampled

SHAPE = Shape((6, 6), schemes=2, roundings=2)


def judge(candidate: Candidate) -> Verdict:
    coarse = sum(candidate.levels)
    return Verdict(coarse < 6, (float(coarse), float(10 - coarse) + candidate.rounding))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_asks_the_same(name: str) -> None:
    first, again, other = (list(asked(sampled(SHAPE, name, 2, 30, seed), judge)) for seed in (3, 3, 4))
    assert first == again != other
    assert len(first) <= 30


def test_tpe_leaves_the_bad_corner() -> None:
    found = asked(sampled(Shape((50,)), "tpe", 1, 60, 0), lambda candidate: Verdict(True, (abs(candidate.levels[0] - 7.0),)))
    assert min(verdict.costs[0] for verdict in found.values()) <= 1


@pytest.mark.parametrize(("objectives", "evaluations"), [(0, 5), (2, 0)])
def test_nothing_to_do_is_refused(objectives: int, evaluations: int) -> None:
    with pytest.raises(SpecError, match="at least 1 evaluation"):
        next(sampled(SHAPE, "tpe", objectives, evaluations, 0))


def test_without_optuna_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(SpecError, match="search with 'halving'"):
        next(strategy("tpe", SHAPE, ("accuracy", "memory"), 5, 0))
