"""How often each channel fired, and what that says of a layer and of a network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikequant.behavior.emd import Reals, emd
from spikequant.errors import MismatchError

Counts = NDArray[np.int64]

DEAD_BELOW = 0.05
SATURATED_ABOVE = 0.95


def dead(rates: Reals, below: float = DEAD_BELOW) -> float:
    """The share of channels whose rate is below a bound ("Beyond Accuracy" calls them dead; many still fire).

    >>> dead(np.array([0.0, 0.04, 0.05, 0.5]))
    0.5
    """
    return float((rates < below).mean())


def silent(rates: Reals) -> float:
    """The share of channels that never fired.

    >>> silent(np.array([0.0, 0.04, 0.05, 0.5]))
    0.25
    """
    return float((rates == 0).mean())


def above(rates: Reals, bound: float) -> float:
    """The share of channels whose rate exceeds a bound: saturated above 0.95.

    >>> above(np.array([0.0, 0.6, 0.96, 1.0]), 0.95)
    0.5
    """
    return float((rates > bound).mean())


@dataclass(frozen=True, eq=False)
class LayerFiring:
    """The spikes of one layer, counted per channel and per chunk of images.

    Shapes: ``counts`` is ``[chunk, channel]``; ``sites`` is ``[chunk]``, how often a channel could have fired there:
    images times steps times positions. Rates are per channel; this average over space hides dead positions.
    """

    name: str
    counts: Counts
    sites: Counts
    images: int
    steps: int

    @property
    def rates(self) -> Reals:
        """Spikes per opportunity of each channel, ``[channel]`` in [0, 1]."""
        return np.asarray(self.counts.sum(axis=0) / self.sites.sum())

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.counts.shape[1])

    @property
    def mean_rate(self) -> float:
        """The mean of the rates."""
        return float(self.rates.mean())

    @property
    def silent(self) -> float:
        """The share of channels that never fired."""
        return silent(self.rates)

    def dead(self, below: float = DEAD_BELOW) -> float:
        """The share of channels with a rate below the bound."""
        return dead(self.rates, below)

    def saturated(self, bound: float = SATURATED_ABOVE) -> float:
        """The share of channels with a rate above the bound."""
        return above(self.rates, bound)


@dataclass(frozen=True, eq=False)
class Firing:
    """The firing of a network, layer by layer.

    Network values are the unweighted mean over layers, as in "Beyond Accuracy"; when ``pooled``, they are those of all
    channels of all layers taken as one set.
    """

    layers: tuple[LayerFiring, ...]
    images: int
    pooled: bool = False

    @property
    def mean_rate(self) -> float:
        """The mean of the rates."""
        return self._over(lambda rates: float(rates.mean()))

    @property
    def silent(self) -> float:
        """The share of channels that never fired."""
        return self._over(silent)

    def dead(self, below: float = DEAD_BELOW) -> float:
        """The share of channels with a rate below the bound."""
        return self._over(lambda rates: dead(rates, below))

    def saturated(self, bound: float = SATURATED_ABOVE) -> float:
        """The share of channels with a rate above the bound."""
        return self._over(lambda rates: above(rates, bound))

    def emd(self, other: "Firing") -> float:
        """The EMD to another network's firing, the layers taken in order.

        Raises:
            MismatchError: the other has another number of layers.
        """
        if len(self.layers) != len(other.layers):
            raise MismatchError(
                f"firing of {len(self.layers)} layers has no EMD to one of {len(other.layers)}; record networks of the same layers"
            )
        ours, theirs = ([layer.rates for layer in firing.layers] for firing in (self, other))
        if self.pooled:
            return emd(np.concatenate(ours), np.concatenate(theirs))
        return float(np.mean([emd(one, another) for one, another in zip(ours, theirs, strict=True)]))

    def _over(self, measure: Callable[[Reals], float]) -> float:
        rates = [layer.rates for layer in self.layers]
        return measure(np.concatenate(rates)) if self.pooled else float(np.mean([measure(each) for each in rates]))
