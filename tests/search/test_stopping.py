"""The test may be read after every sample, and still errs as seldom as it says."""

import numpy as np
import pytest

from spikequant.errors import SpecError
from spikequant.search import DropTest

SAMPLES, TOLERANCE, ERROR = 400, 0.02, 0.05


def differences(drop: int, flips: int, rng: np.random.Generator) -> np.ndarray:
    """``SAMPLES`` paired differences that sum to ``drop``, in random order; ``flips`` of each sign cancel."""
    return rng.permutation([1] * (drop + flips) + [-1] * flips + [0] * (SAMPLES - drop - 2 * flips))


@pytest.mark.parametrize("flips", [0, 20, 100])
def test_a_candidate_just_within_the_tolerance_is_seldom_called_hopeless(flips: int) -> None:
    rng = np.random.default_rng(0)
    within = round(SAMPLES * TOLERANCE)
    wrong = sum(DropTest.of(SAMPLES, TOLERANCE, ERROR).told(differences(within, flips, rng)).hopeless for _ in range(300))
    assert wrong / 300 <= ERROR + 0.03


def test_a_test_that_forgets_the_tolerance_would_be_seen() -> None:
    rng = np.random.default_rng(0)
    wrong = sum(DropTest.of(SAMPLES, 0.0, ERROR).told(differences(8, 0, rng)).hopeless for _ in range(100))
    assert wrong == 100


def test_a_bad_candidate_is_seen_early_and_an_equal_one_never() -> None:
    rng = np.random.default_rng(0)
    test, seen = DropTest.of(SAMPLES, TOLERANCE, ERROR), 0
    for difference in differences(120, 10, rng):
        test, seen = test.told([difference]), seen + 1
        if test.hopeless:
            break
    assert seen < SAMPLES // 4
    assert not DropTest.of(SAMPLES, TOLERANCE, ERROR).told([0] * SAMPLES).hopeless


def test_batches_and_single_samples_say_the_same() -> None:
    row = differences(60, 30, np.random.default_rng(1)).tolist()
    single = DropTest.of(SAMPLES, TOLERANCE)
    for difference in row:
        single = single.told([difference])
    assert single == DropTest.of(SAMPLES, TOLERANCE).told(row[:123]).told(row[123:])


def test_what_cannot_be_is_hopeless_at_once() -> None:
    assert DropTest.of(10, -0.9).told([1, 1]).hopeless  # eight samples cannot bring back a rise of nine


def test_wrong_use_is_refused() -> None:
    with pytest.raises(SpecError, match="3 differences, but 2 of 2 samples are left"):
        DropTest.of(2, 0.0).told([0, 0, 0])
    for samples, tolerance, error in [(0, 0.1, 0.1), (5, 2.0, 0.1), (5, 0.1, 0.0)]:
        with pytest.raises(SpecError, match="1 or more samples"):
            DropTest.of(samples, tolerance, error)
