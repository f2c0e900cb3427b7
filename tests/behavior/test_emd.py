from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from spikequant.behavior.emd import all_pairs, emd, emd_parts, emd_rows
from spikequant.errors import SpecError

rates = st.lists(st.floats(0, 1), min_size=1, max_size=40)
pairs = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.floats(0, 1), min_size=n, max_size=n)] * 2))
fractions = st.lists(st.fractions(0, 1, max_denominator=64), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0.1, 0.2, 0.3], [0, 0, 0.2, 0.6], 0.1),
        ([0, 1], [0, 0.5, 1], 1 / 6),
        ([0, 0.5, 1], [1, 0, 0.5], 0),
        ([0], [1], 1),
        ([0, 1], [0, 0, 1, 1], 0),
        ([0, 0, 0, 1], [1], 0.75),
    ],
)
def test_golden(a: list[float], b: list[float], expected: float) -> None:
    assert emd(a, b) == pytest.approx(expected, abs=1e-15)


@given(rates, rates)
def test_equals_scipy(a: list[float], b: list[float]) -> None:
    assert emd(a, b) == pytest.approx(wasserstein_distance(a, b), abs=1e-12)


@given(pairs)
def test_equals_scipy_for_equal_sizes(sets: tuple[list[float], list[float]]) -> None:
    assert emd(*sets) == pytest.approx(wasserstein_distance(*sets), abs=1e-12)


def integral(a: list[Fraction], b: list[Fraction]) -> Fraction:
    """The definition, in exact arithmetic: ``integral |F_a - F_b|``."""
    ends = sorted({*a, *b})
    share = [abs(Fraction(sum(v <= r for v in a), len(a)) - Fraction(sum(v <= r for v in b), len(b))) for r in ends]
    return sum((height * (right - left) for height, left, right in zip(share, ends, ends[1:], strict=False)), Fraction(0))


@given(fractions, fractions)
def test_equals_the_integral(a: list[Fraction], b: list[Fraction]) -> None:
    distance = emd([float(v) for v in a], [float(v) for v in b])
    assert distance == pytest.approx(float(integral(a, b)), abs=1e-14)
    assert (distance == 0) == (integral(a, b) == 0)


@given(pairs)
def test_zero_only_for_equal_multisets(sets: tuple[list[float], list[float]]) -> None:
    a, b = sets
    assert emd(a, a) == 0
    subnormal_gap = 0 < max(abs(x - y) for x, y in zip(sorted(a), sorted(b), strict=True)) < 1e-300
    assert (emd(a, b) == 0) == (sorted(a) == sorted(b)) or subnormal_gap


@given(rates, rates, st.randoms(use_true_random=False))
def test_order_does_not_matter(a: list[float], b: list[float], random) -> None:
    shuffled = random.sample(a, len(a))
    assert emd(shuffled, b) == emd(a, b) == emd(b, a)


@given(rates, st.floats(-1, 1))
def test_a_shift_costs_its_length(a: list[float], shift: float) -> None:
    assert emd(a, np.array(a) + shift) == pytest.approx(abs(shift), abs=1e-14)


@given(rates, rates, rates)
def test_triangle(a: list[float], b: list[float], c: list[float]) -> None:
    assert emd(a, c) <= emd(a, b) + emd(b, c) + 1e-14


@given(rates, rates)
def test_at_least_the_difference_of_means_and_at_most_one(a: list[float], b: list[float]) -> None:
    assert abs(np.mean(a) - np.mean(b)) - 1e-14 <= emd(a, b) <= 1


@given(pairs)
def test_at_most_the_matched_shift(sets: tuple[list[float], list[float]]) -> None:
    a, b = map(np.array, sets)
    assert emd(a, b) <= np.abs(a - b).mean() + 1e-14


@given(rates, rates)
def test_parts_bound_the_whole(a: list[float], b: list[float]) -> None:
    whole, shift, shape = emd_parts(a, b)
    assert whole == emd(a, b)
    assert shift - 1e-14 <= whole <= shift + shape + 1e-14


def test_parts_golden() -> None:
    # means .15 and .2; aligned, [-.15, -.05, .05, .15] goes to [-.2, -.2, 0, .4]: (.05 + .15 + .05 + .25) / 4
    assert emd_parts([0, 0.1, 0.2, 0.3], [0, 0, 0.2, 0.6]) == pytest.approx((0.1, 0.05, 0.125), abs=1e-15)
    assert emd_parts([0.0, 1.0], [0.25, 0.75]) == (0.25, 0.0, 0.25)


def test_all_pairs_is_emd_of_each() -> None:
    generator = np.random.default_rng(0)
    sets = [generator.random(size) for size in (5, 5, 7)]
    distances = all_pairs(sets)
    assert distances.shape == (3, 3)
    assert np.array_equal(distances, distances.T)
    assert all(distances[i, j] == emd(sets[i], sets[j]) for i in range(3) for j in range(3))


def test_rows_are_pairs_of_sets() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random((4, 6)), generator.random((4, 9))
    assert emd_rows(a, b).tolist() == pytest.approx([emd(x, y) for x, y in zip(a, b, strict=True)], abs=1e-15)


@pytest.mark.parametrize(
    "b",
    [
        torch.tensor([0.0, 0.5, 1.0]),
        torch.tensor([0.0, 0.5, 1.0], dtype=torch.bfloat16, requires_grad=True),
        np.array([0.0, 0.5, 1.0], dtype=np.float32),
        (0, 0.5, 1),
    ],
)
def test_takes_tensors_arrays_and_lists(b: object) -> None:
    assert emd([0, 1], b) == pytest.approx(1 / 6)


def test_inputs_are_left_as_they_were() -> None:
    a = np.array([0.3, 0.1])
    emd_parts(a, [0.5, 0.2])
    assert a.tolist() == [0.3, 0.1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "empty"),
        ([0.1, float("nan")], "holds nan"),
        ([0.1, float("inf")], "holds inf"),
        (["a"], "not a list of numbers"),
        ([[0.1], [0.1, 0.2]], "not a list of numbers"),
    ],
)
def test_refuses_what_is_no_set_of_rates(bad: object, message: str) -> None:
    for function in (emd, emd_parts, lambda a, b: all_pairs([a, b])):
        for sets in (([0.1, 0.2], bad), (bad, [0.1, 0.2])):
            with pytest.raises(SpecError, match=message):
                function(*sets)
