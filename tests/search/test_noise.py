import math

import pytest

from spikequant.errors import SpecError
from spikequant.search import Row, noise_of, paper_noise
from spikequant.search.noise import on_scale
from spikequant.search.rows import words

ROWS = [
    Row(words("a x"), {"emd": 0.1}),
    Row(words("b x"), {"emd": 0.3}),
    Row(words("a y"), {"emd": 0.5}),
    Row(words("b y"), {"emd": 0.5}),
    Row(words("a z"), {"emd": 0.9}),
    Row(words("b x"), {"emd": 0.2}, seed=1),
]


def test_noise_is_the_deviation_of_one_run() -> None:
    # Differences .2 and 0: the mean square is .02, half of it is the variance of one run. z and seed 1 have no partner.
    assert noise_of(ROWS, "emd", "a", "b") == (pytest.approx(0.1), 2)


def test_noise_of_ratios_is_relative() -> None:
    assert noise_of(ROWS, "emd", "a", "b", "ratio") == (pytest.approx(math.log(3) / 2), 2)


def test_noise_of_the_paper() -> None:
    # The largest of the 16 pairs of EMDs: .0074 and .0032, so the noise is near a thousandth.
    noises = {measure: paper_noise("beyond-accuracy", measure) for measure in ("accuracy", "mean_rate", "emd", "dead")}
    assert {measure: noise and round(noise.deviation, 4) for measure, noise in noises.items()} == {
        "accuracy": 0.0013,
        "mean_rate": 0.0015,
        "emd": 0.0008,
        "dead": 0.0106,
    }


def test_refuses_what_has_no_pair() -> None:
    with pytest.raises(SpecError, match="differ only in 'a' and 'c'"):
        noise_of(ROWS, "emd", "a", "c")
    with pytest.raises(SpecError, match=r"values above 0, got 0\.0"):
        on_scale(0.0, "ratio")


def test_squats_noise_is_bounded_by_its_eight_bit_pairs() -> None:
    """Twelve pairs by hand, in points: .96 .18 1.04 1.21 .45 -.06 -.20 -.15 .63 1.02 -.25 0, whose half mean square is .234."""
    noise = paper_noise("squat", "accuracy")
    assert noise is not None
    assert (noise.pairs, round(noise.deviation, 4)) == (12, 0.0047)


def test_an_abstract_has_no_noise_of_its_own() -> None:
    assert paper_noise("stompp", "gain") is None
