"""Sound as spikes over many channels, after the inner ear: a bank of gammatone filters, compression, integrate-and-fire.

Equations, for a sound scaled to a root mean square of 1 and channel k with center ``f_k`` and ``b_k = 1.019 ERB(f_k)``:

- ``f_k``: equally spaced from 100 Hz to 0.45 of the sample rate on the scale ``21.4 log10(1 + 0.00437 f)`` (ERB-rate)
- ``ERB(f) = 24.7 (1 + 0.00437 f)``
- envelope ``e_k(t) = |analytic part of x filtered by (1 + j (f - f_k) / b_k)^-4|``, a gammatone of order 4
- drive ``d_k = e_k^0.6`` (the compression of a healthy cochlea), a spike whenever its integral over time, times ``rate``, passes a
  whole number: the count of a bin is ``floor(rate D(end)) - floor(rate D(begin))``

Nothing is drawn: the same sound gives the same spikes. Sources: Glasberg and Moore 1990 (ERB); Patterson et al. 1992 (gammatone). It is
simpler than the hair cells and bushy cells by which Spiking Heidelberg Digits were made, and its spikes are not theirs.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spikequant.errors import DataError

LOWEST_HZ = 100.0
HIGHEST = 0.45
ORDER = 4
COMPRESSION = 0.6
REACH = 2.4  # bandwidths on either side of a center that are kept: beyond, the response is below 1/45
Reals = NDArray[np.float64]


class Ear(NamedTuple):
    """``channels`` filters; ``rate_hz`` spikes a second at a drive of 1; bins of ``step_ms``, ``steps`` of them."""

    channels: int = 700
    rate_hz: float = 60.0
    steps: int = 25
    step_ms: float = 40.0


def centers(channels: int, sample_rate: float) -> Reals:
    """Center frequencies in Hz, ascending, equally spaced on the ERB-rate scale.

    >>> centers(3, 8000.0).round().tolist()
    [100.0, 893.0, 3600.0]
    """
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (LOWEST_HZ, HIGHEST * sample_rate))
    return np.asarray((10 ** (np.linspace(low, high, channels) / 21.4) - 1) / 0.00437)


def erb(f: Reals) -> Reals:
    """The equivalent rectangular bandwidth in Hz."""
    return 24.7 * (1 + 0.00437 * f)


def spikes(sound: NDArray[np.int16], sample_rate: float, ear: Ear) -> NDArray[np.uint8]:
    """Spike counts ``[step, channel]`` of a mono sound; silence gives none, what is longer than all steps is cut.

    Raises:
        DataError: the sound is empty.
    """
    if not len(sound):
        raise DataError("a sound must hold at least one sample")
    wanted = round(ear.steps * ear.step_ms / 1000 * sample_rate)
    x = np.zeros(wanted)
    x[: len(sound)] = sound[:wanted]
    level = np.sqrt(np.mean(x[: len(sound)] ** 2))
    if level == 0:
        return np.zeros((ear.steps, ear.channels), np.uint8)
    drive = envelopes(x / level, sample_rate, ear.channels) ** COMPRESSION
    seconds = ear.steps * ear.step_ms / 1000 / drive.shape[1]
    integral = np.concatenate([np.zeros((ear.channels, 1)), np.cumsum(drive, axis=1) * seconds], axis=1)
    ends = np.rint(np.linspace(0, drive.shape[1], ear.steps + 1)).astype(int)
    counts = np.diff(np.floor(ear.rate_hz * integral[:, ends]), axis=1)
    return np.minimum(counts, 255).astype(np.uint8).T.copy()


def envelopes(x: Reals, sample_rate: float, channels: int) -> Reals:
    """The envelope of every channel ``[channel, time]``, at the lower rate that the widest channel needs."""
    bins, response, low_rate = _bank(len(x), sample_rate, channels)
    band = torch.from_numpy((np.fft.fft(x)[bins] * response).astype(np.complex64))
    # The band around each center is moved to zero, where its inverse transform is the analytic part, slowed down.
    slow: Reals = torch.fft.ifft(band, dim=1).abs().double().numpy()
    return slow * 2 * (low_rate / sample_rate)


@functools.lru_cache(maxsize=2)
def _bank(length: int, sample_rate: float, channels: int) -> tuple[NDArray[np.int64], Reals, float]:
    """Which bins of the transform each channel takes ``[channel, bin]``, its response there, and the rate of what comes out."""
    f = centers(channels, sample_rate)
    spacing = sample_rate / length
    width = 2 ** int(np.ceil(np.log2(2 * REACH * 1.019 * erb(f)[-1] / spacing)))
    offset = np.fft.ifftshift(np.arange(width) - width // 2)
    middle = np.rint(f / spacing).astype(np.int64)
    bins = middle[:, None] + offset[None, :]
    detuned = (bins * spacing - f[:, None]) / (1.019 * erb(f))[:, None]
    response = (1 + detuned**2) ** (-ORDER / 2) * ((bins > 0) & (bins < length // 2))
    return np.clip(bins, 0, length - 1), response, width * spacing
