import math
from typing import Any

import pytest

from spikequant.search import Claim, Noise, Row
from spikequant.search.correlations import Effect
from spikequant.search.effects import effects, mean_effect
from spikequant.search.rows import words


def claim(**fields: Any) -> Claim:
    return Claim(**{"name": "x", "says": "-", "source": "-", "measure": "emd", "of": "a", "least": 0.01, **fields})


def rows(*lines: tuple[str, int | None, float]) -> list[Row]:
    return [Row(words(tags), {"emd": value}, seed) for tags, seed, value in lines]


def silent(measure: str, scale: str) -> Noise | None:
    return None


def test_pairs_differ_in_the_two_texts_alone() -> None:
    found = effects(claim(against="b"), rows(("a x", 0, 3.0), ("b x", 0, 1.0), ("b y", 0, 9.0), ("a z", 0, 9.0)), silent)
    assert found == [Effect("a x", 2.0, None, 0, 1, {0: 2.0})]


def test_seeds_are_paired() -> None:
    # Differences 1, 2, 3 whatever the level: mean 2, standard error 1 / sqrt(3).
    table = rows(*((f"{side} x", seed, 10 * seed + (seed + 1) * (side == "a")) for seed in range(3) for side in "ab"))
    assert effects(claim(against="b"), table, silent) == [
        Effect("a x", 2.0, pytest.approx(1 / math.sqrt(3)), 2, 3, {0: 1.0, 1: 2.0, 2: 3.0})
    ]


def test_one_seed_takes_the_noise_of_both_sides() -> None:
    (found,) = effects(claim(against="b"), rows(("a", None, 3.0), ("b", None, 1.0)), lambda measure, scale: Noise(0.5, 16))
    assert found == Effect("a", 2.0, pytest.approx(0.5 * math.sqrt(2)), 16, 1, {None: 2.0})
    (alone,) = effects(claim(), rows(("a", None, 3.0)), lambda measure, scale: Noise(0.5, 16))
    assert alone == Effect("a", 3.0, 0.5, 16, 1, {None: 3.0})


def test_seeds_that_do_not_meet_are_compared_by_noise() -> None:
    (found,) = effects(
        claim(against="b"), rows(("a", 0, 2.0), ("a", 1, 4.0), ("b", 2, 1.0), ("b", 3, 1.0)), lambda measure, scale: Noise(0.5, 16)
    )
    assert found == Effect("a", 2.0, pytest.approx(0.5), 16, 2)


def test_a_mean_is_taken_within_each_seed_first() -> None:
    # One run compared with two others counts once: 1, 2 and 3 in the mean of either seed, as in each case alone.
    table = rows(
        *(
            (f"{side} x", seed, 10 * seed + (seed + 1) * (side == "a narrow wide"))
            for seed in range(3)
            for side in ("a narrow wide", "b narrow", "b wide")
        )
    )
    one, other = effects(claim(against="b"), table, silent)
    assert mean_effect([one, other]) == Effect("the mean", 2.0, pytest.approx(1 / math.sqrt(3)), 2, 3, {0: 1.0, 1: 2.0, 2: 3.0})
    few = other._replace(drawn={0: 1.0}, value=4.0)
    assert mean_effect([one, few]) == Effect("the mean", 3.0, pytest.approx(math.sqrt(2 / 3) / 2), 2, 3)


@pytest.mark.parametrize(("measured", "error"), [({"floor_low": 1.0, "floor_high": 1.0 + 2 * 1.959964}, 1.0), ({}, None)])
def test_the_error_of_a_floor_that_all_seeds_share_is_added(measured: dict[str, float], error: float | None) -> None:
    table = [Row(words("a x"), {"emd": float(seed), **measured}, seed) for seed in range(1, 4)]
    (found,) = effects(claim(floor="floor"), table, silent)
    assert found.value == 2.0
    assert found.error == (None if error is None else pytest.approx(math.hypot(1 / math.sqrt(3), error)))
    assert found.freedom == (2 if error is None else 32)  # 2 (1 + 3)^2


def test_a_baseline_bears_fewer_tags() -> None:
    table = rows(("a signed 2bits cifar", 0, 3.0), ("float cifar", 0, 1.0), ("float mnist", 0, 7.0), ("float", 0, 9.0))
    assert [effect.value for effect in effects(claim(against="float"), table, silent)] == [2.0]


def test_a_run_that_stands_for_two_configurations_is_compared_with_either() -> None:
    table = rows(("a narrow wide", 0, 3.0), ("b narrow", 0, 1.0), ("b wide", 0, 2.0), ("b narrow deep", 0, 9.0))
    found = effects(claim(against="b"), table, silent)
    assert [(effect.case, effect.value) for effect in found] == [("a narrow", 2.0), ("a wide", 1.0)]


def test_along_goes_from_tag_to_tag() -> None:
    table = rows(("a 2bits x", 0, 3.0), ("a 4bits x", 0, 1.0), ("a 8bits x", 0, 5.0), ("a 2bits y", 0, 3.0))
    found = effects(claim(along=("2bits", "4bits", "8bits")), table, silent)
    assert [(effect.case, effect.value) for effect in found] == [("2bits-4bits a x", -2.0), ("4bits-8bits a x", 4.0)]


def test_ratios_are_logarithms() -> None:
    (found,) = effects(claim(against="b", compare="ratio"), rows(("a", 0, 3.0), ("b", 0, 1.5)), silent)
    assert found.value == pytest.approx(math.log(2))


def test_each_narrows_the_rows() -> None:
    table = rows(("a x", 0, 3.0), ("a y", 0, 4.0), ("a z", 0, 5.0))
    assert [effect.value for effect in effects(claim(each=("x", "z")), table, silent)] == [3.0, 5.0]
