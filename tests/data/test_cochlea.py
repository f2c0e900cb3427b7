import numpy as np
import pytest

from spikequant.data.cochlea import Ear, centers, envelopes, erb, spikes
from spikequant.errors import DataError

EAR = Ear(channels=60, steps=10, step_ms=40.0)


def tone(hertz: float, seconds: float = 0.4, height: float = 1e4) -> np.ndarray:
    return (height * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)).astype(np.int16)


def test_bandwidths_and_centers() -> None:
    assert erb(np.array([1000.0])) == pytest.approx(132.6, abs=0.1)
    found = centers(700, 8000.0)
    assert (found[0], found[-1]) == (pytest.approx(100), pytest.approx(3600))
    assert (np.diff(found) > 0).all()
    assert np.diff(found, 2).min() > 0, "on the ERB-rate scale gaps widen with frequency"


def test_the_envelope_of_a_tone_is_its_height() -> None:
    x = np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    found = envelopes(x, 8000.0, 700)
    nearest = np.abs(centers(700, 8000.0) - 1000).argmin()
    assert found[nearest, 500:1500] == pytest.approx(np.sqrt(2), rel=0.02)
    away = np.abs(centers(700, 8000.0) - 1270).argmin()
    detuned = 270 / (1.019 * 24.7 * (1 + 0.00437 * 1270))
    assert found[away, 500:1500].mean() == pytest.approx(np.sqrt(2) * (1 + detuned**2) ** -2, rel=0.03)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 3000.0])
def test_a_tone_excites_its_place(hertz: float) -> None:
    counts = spikes(tone(hertz), 8000.0, EAR).sum(0)
    assert centers(60, 8000.0)[counts.argmax()] == pytest.approx(hertz, rel=0.1)
    assert counts.max() > 5 * max(1, np.median(counts))


def test_loudness_and_silence() -> None:
    assert (
        np.array_equal(spikes(tone(500, height=2e4), 8000.0, EAR), spikes(tone(500, height=1e4), 8000.0, EAR))
        or np.abs(spikes(tone(500, height=2e4), 8000.0, EAR).astype(int) - spikes(tone(500, height=1e4), 8000.0, EAR)).max() <= 1
    )
    assert spikes(np.zeros(100, np.int16), 8000.0, EAR).sum() == 0
    with pytest.raises(DataError, match="at least one sample"):
        spikes(np.zeros(0, np.int16), 8000.0, EAR)


def test_time_stays_in_its_place() -> None:
    late = np.concatenate([np.zeros(1600, np.int16), tone(800, 0.1)])
    counts = spikes(late, 8000.0, EAR).sum(1)
    assert counts[:4].sum() < 0.05 * counts.sum()
    assert counts[5:8].sum() > 0.8 * counts.sum()


def test_the_same_sound_gives_the_same_spikes_and_longer_ones_are_cut() -> None:
    sound = tone(700, 1.0)
    assert np.array_equal(spikes(sound, 8000.0, EAR), spikes(sound, 8000.0, EAR))
    assert spikes(sound, 8000.0, EAR).shape == (10, 60)
    assert spikes(sound, 8000.0, EAR).dtype == np.uint8


def test_counts_follow_the_rate() -> None:
    """A steady tone at the center of a channel drives it at sqrt(2)^0.6 = 1.23: in 0.4 s at 100 Hz, about 49 spikes."""
    counts = spikes(tone(float(centers(60, 8000.0)[30])), 8000.0, EAR._replace(rate_hz=100.0)).sum(0)
    assert counts[30] == pytest.approx(49, abs=4)
