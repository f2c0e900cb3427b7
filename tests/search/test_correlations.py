import math
from typing import Any

import numpy as np
import pytest

from spikequant.search import Claim, Row
from spikequant.search.correlations import Effect, correlations, partial_correlation
from spikequant.search.rows import words


def claim(**fields: Any) -> Claim:
    return Claim(
        **{
            "name": "x",
            "says": "-",
            "source": "-",
            "measure": "emd",
            "beside": "dead",
            "of": "a",
            "compare": "correlation",
            "least": 0.1,
            **fields,
        }
    )


def table(points: list[tuple[float, float]], seed: int | None = None) -> list[Row]:
    return [Row(words(f"a x {index}"), {"emd": x, "dead": y}, seed) for index, (x, y) in enumerate(points)]


POINTS = [(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0), (5.0, 5.0)]  # r = .8


def test_fishers_z_of_pearsons_r() -> None:
    (found,) = correlations(claim(each=("x", "y")), table(POINTS))
    assert found == Effect("a x", pytest.approx(math.atanh(0.8)), pytest.approx(1 / math.sqrt(2)), 2, 5)


def test_a_constant_correlates_with_nothing_and_a_line_fully() -> None:
    flat, line = [(float(i), 1.0) for i in range(5)], [(float(i), 2.0 * i) for i in range(5)]
    assert [math.tanh(next(correlations(claim(), table(points))).value) for points in (flat, line)] == [0.0, pytest.approx(1.0)]


def test_seeds_of_a_configuration_are_one_point() -> None:
    shifted = [(x + 0.5, y - 0.5) for x, y in POINTS]
    (found,) = correlations(claim(), table(POINTS, 0) + table(shifted, 1))
    assert (found.seeds, found.value) == (5, pytest.approx(math.atanh(0.8)))


def test_given_measures_are_taken_out() -> None:
    # emd and dead share nothing but the rate: together they look alike, given the rate they do not.
    rates = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    one, other = [0.1, -0.1, -0.1, 0.1, 0.1, -0.1, -0.1, 0.1], [0.1, 0.1, -0.1, -0.1, -0.1, -0.1, 0.1, 0.1]
    rows = [
        Row(words(f"a {i}"), {"emd": rate + a, "dead": rate + b, "mean_rate": rate})
        for i, (rate, a, b) in enumerate(zip(rates, one, other, strict=True))
    ]
    assert math.tanh(next(correlations(claim(), rows)).value) > 0.99
    given = next(correlations(claim(given=("mean_rate",)), rows))
    assert abs(math.tanh(given.value)) < 0.2
    assert given.freedom == 8 - 1 - 3


def test_against_counts_how_far_each_moved_from_its_own_baseline() -> None:
    # The baseline of seed 1 lies 10 higher: only distances from it count, and emd, which it has not, as it is.
    rows = [Row(words("float"), {"dead": 10.0 * seed}, seed) for seed in (0, 1)]
    rows += [Row(words(f"a {i}"), {"emd": x, "dead": 10.0 * seed - y}, seed) for seed in (0, 1) for i, (x, y) in enumerate(POINTS)]
    (found,) = correlations(claim(against="float"), rows)
    assert (found.seeds, found.value) == (5, pytest.approx(math.atanh(0.8)))


def test_a_run_whose_baseline_is_absent_has_not_moved_from_anything() -> None:
    # Seed 1 has no float row: its raw values would stand among distances.
    rows = [Row(words("float"), {"dead": 0.0}, 0), *table(POINTS, 0), *table([(y, 9.0 - x) for x, y in POINTS], 1)]
    (found,) = correlations(claim(against="float"), rows)
    assert (found.seeds, found.value) == (5, pytest.approx(math.atanh(0.8)))
    assert list(correlations(claim(against="float"), rows[6:])) == []


def test_too_few_points_are_no_case() -> None:
    assert list(correlations(claim(), table(POINTS[:3]))) == []


def test_equals_the_formula_of_three_correlations() -> None:
    generator = np.random.default_rng(0)
    c = generator.normal(size=40)
    a, b = c + generator.normal(size=40), c + generator.normal(size=40)
    ab, ac, bc = (np.corrcoef(*pair)[0, 1] for pair in ((a, b), (a, c), (b, c)))
    expected = (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))
    assert partial_correlation(a, b, c[:, None]) == pytest.approx(expected)
