import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikequant.errors import SpecError
from spikequant.search import Option, allocate, budget

LAYERS = st.lists(st.lists(st.builds(Option, st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=4), min_size=1, max_size=4)


def best(layers: list[list[Option]], bound: float) -> float | None:
    sums = [(sum(o.cost for o in row), sum(o.loss for o in row)) for row in product(*layers)]
    return min((loss for cost, loss in sums if cost <= bound), default=None)


@given(LAYERS, st.integers(1, 36))
def test_no_choice_within_the_budget_loses_less(layers: list[list[Option]], bound: int) -> None:
    wanted = best(layers, bound)
    if wanted is None:
        with pytest.raises(SpecError, match="below the cheapest choice"):
            allocate(layers, bound)
        return
    chosen = [layer[index] for layer, index in zip(layers, allocate(layers, bound), strict=True)]
    assert sum(option.cost for option in chosen) <= bound
    assert sum(option.loss for option in chosen) == wanted


def test_thinning_keeps_the_budget_and_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STATES", 8)
    layers = [[Option(2.0**k, 20.0 - k) for k in range(6)] for _ in range(5)]
    assert allocate(layers, 1e9) == (5,) * 5
    assert sum(2.0**k for k in allocate(layers, 40)) <= 40


TENTHS = st.integers(1, 9).map(lambda tenths: Option(tenths / 10, 0.0))


@given(st.lists(st.lists(TENTHS, min_size=1, max_size=3), min_size=3, max_size=8))
def test_the_budget_that_the_refusal_names_is_enough(layers: list[list[Option]]) -> None:
    with pytest.raises(SpecError, match="allow at least that") as told:
        allocate(layers, 0.0)
    named = float(str(told.value).split("costs ")[1].split(";")[0])
    least = [min(layer).cost for layer in layers]
    for bound in (named, sum(least)):
        assert [layer[index].cost for layer, index in zip(layers, allocate(layers, bound), strict=True)] == least


def test_a_cost_or_a_budget_that_is_no_number_is_refused() -> None:
    for cost in (math.nan, math.inf):
        with pytest.raises(SpecError, match="costs must be finite"):
            allocate([[Option(cost, 0.0)], [Option(0.2, 0.0)]], 1)
    with pytest.raises(SpecError, match="budget nan"):
        allocate([[Option(0.2, 0.0)]], math.nan)


@pytest.mark.parametrize("layers", [[], [[Option(1, 0)], []]])
def test_a_layer_without_options_is_refused(layers: list[list[Option]]) -> None:
    with pytest.raises(SpecError, match="at least 1 option"):
        allocate(layers, 10)
