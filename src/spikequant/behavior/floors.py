"""What an EMD means: how much of it other images, or another seed, would have caused as well.

The unit that is resampled is the recorder's chunk (8 images or fewer of one batch). A resample draws as many chunks as
were seen, with replacement; the same chunks for every network and layer, since all saw the same images. Intervals are
percentile intervals of 95 %, widened where they must be to hold the estimate: an EMD near its floor is biased upward,
and its resamples still more so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spikequant.behavior.emd import Reals, emd_rows
from spikequant.behavior.firing import Firing

COVERAGE = (2.5, 97.5)


class Estimate(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


class Training(NamedTuple):
    """The mean EMD over all pairs of float networks that differ in their seed, and how far another EMD exceeds it."""

    floor: Estimate
    excess: Estimate
    pairs: int


class Distance(NamedTuple):
    """An EMD beside its floors; the two floors answer different questions and are never merged."""

    emd: Estimate
    sampling: Estimate
    training: Training | None


class Resamples:
    """Seeded bootstrap over the chunks that all networks of a comparison saw.

    Every method answers for each layer, and last for the whole network.
    """

    def __init__(self, chunks: int, count: int, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._count = count
        self._whole = np.ones((1, chunks))
        draws = self._generator.multinomial(chunks, np.full(chunks, 1 / chunks), size=(2, count))
        self._first, self._second = draws.astype(np.float64)

    def judge(self, reference: Firing, network: Firing, twins: Sequence[Firing] = ()) -> list[Distance]:
        """The EMD of a network to its reference, the sampling floor, and with float twins the training floor."""
        distances, sampling = self.emd(reference, network), self.sampling_floor(reference)
        training = self.training_floor(reference, network, twins) if twins else [None] * len(distances)
        return [Distance(*each) for each in zip(distances, sampling, training, strict=True)]

    def emd(self, reference: Firing, network: Firing) -> list[Estimate]:
        """The EMD of two networks, with its interval."""
        return _estimates(self._paired(reference, network))

    def sampling_floor(self, firing: Firing) -> list[Estimate]:
        """The EMD of a network to itself when it is shown two independent resamples of as many images.

        The value is the mean over resamples, the interval that of a single one.
        """
        distances = _distances(_rates(firing, self._first), _rates(firing, self._second), firing.pooled)
        return _estimates(np.concatenate([distances.mean(axis=1, keepdims=True), distances], axis=1))

    def training_floor(self, reference: Firing, network: Firing, twins: Sequence[Firing]) -> list[Training]:
        """The mean EMD over all pairs among reference and twins, and the network's EMD to its reference less that mean.

        Intervals resample the images and, by Bayesian bootstrap, weigh the float networks anew. One twin leaves one pair:
        then only the images vary, and the interval is too short.
        """
        floats = (reference, *twins)
        shares = np.vstack([np.ones(len(floats)), self._generator.dirichlet(np.ones(len(floats)), size=self._count)])
        pairs = [(i, j) for j in range(len(floats)) for i in range(j)]
        weights = np.stack([shares[:, i] * shares[:, j] for i, j in pairs])
        distances = np.stack([self._paired(floats[i], floats[j]) for i, j in pairs])
        floor = np.einsum("pr,plr->lr", weights / weights.sum(axis=0), distances)
        excess = self._paired(reference, network) - floor
        return [Training(*both, len(pairs)) for both in zip(_estimates(floor), _estimates(excess), strict=True)]

    def _paired(self, a: Firing, b: Firing) -> Reals:
        draws = np.vstack([self._whole, self._first])
        return _distances(_rates(a, draws), _rates(b, draws), a.pooled)


def _rates(firing: Firing, weights: Reals) -> list[Reals]:
    return [(weights @ layer.counts.astype(np.float64)) / (weights @ layer.sites)[:, None] for layer in firing.layers]


def _distances(a: list[Reals], b: list[Reals], pooled: bool) -> Reals:
    layers = [emd_rows(one, other) for one, other in zip(a, b, strict=True)]
    network = emd_rows(np.concatenate(a, axis=1), np.concatenate(b, axis=1)) if pooled else np.mean(layers, axis=0)
    return np.stack([*layers, network])


def _estimates(rows: Reals) -> list[Estimate]:
    """Each row is a value and its resamples."""
    low, high = np.percentile(rows[:, 1:], COVERAGE, axis=1)
    return [Estimate(float(v), float(min(v, lo)), float(max(v, hi))) for v, lo, hi in zip(rows[:, 0], low, high, strict=True)]
