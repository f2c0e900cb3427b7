"""Wasserstein-1 of two sets of rates: what it costs to move one distribution of firing onto another."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import sorted_gaps

Reals = NDArray[np.float64]
Rates = Tensor | ArrayLike


class EmdParts(NamedTuple):
    """An EMD and its two causes: ``mean_shift <= emd <= mean_shift + shape``."""

    emd: float
    mean_shift: float
    shape: float


def emd(a: Rates, b: Rates) -> float:
    """The earth mover's distance (Wasserstein-1) of two sets of rates, exact for any two sizes.

    Equation: ``W1 = integral |F_a(r) - F_b(r)| dr``; for equal sizes ``mean |sort(a) - sort(b)|``.
    Shapes: any, read as flat sets. Unit: that of the rates.

    Raises:
        SpecError: a set is empty, or holds what is not a finite number.

    Source: "Beyond Accuracy", Eq. 3; equals ``scipy.stats.wasserstein_distance``.

    >>> round(emd([0.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.2, 0.6]), 12)
    0.1
    """
    distance = float(emd_rows(_plain(a), _plain(b)))
    if not math.isfinite(distance):
        for values in (a, b):
            flat(values)  # says what is wrong
    return distance


def emd_parts(a: Rates, b: Rates) -> EmdParts:
    """The EMD of two sets, the shift of their means, and their EMD after the means are aligned.

    Equation: ``mean_shift = |mean(a) - mean(b)|``, ``shape = W1(a - mean(a), b - mean(b))``. The two do not add up to
    the EMD, which lies between the shift alone and their sum.

    Raises:
        SpecError: a set is empty, or holds what is not a finite number.

    >>> emd_parts([0.0, 0.25], [0.5, 0.75])
    EmdParts(emd=0.5, mean_shift=0.5, shape=0.0)
    """
    sorted_a, sorted_b = np.sort(flat(a)), np.sort(flat(b))
    mean_a, mean_b = sorted_a.mean(), sorted_b.mean()
    shape = _between(sorted_a - mean_a, sorted_b - mean_b)
    return EmdParts(float(_between(sorted_a, sorted_b)), float(abs(mean_a - mean_b)), float(shape))


def all_pairs(sets: Sequence[Rates]) -> Reals:
    """The EMD between any two of these sets: ``[set, set]``, symmetric, zero on the diagonal; each set is sorted once.

    Raises:
        SpecError: a set is empty, or holds what is not a finite number.

    >>> all_pairs([[0.0, 1.0], [0.0, 0.5, 1.0], [1.0]]).round(4).tolist()
    [[0.0, 0.1667, 0.5], [0.1667, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    ordered = [np.sort(flat(values)) for values in sets]
    distances = np.zeros((len(ordered), len(ordered)))
    for i, a in enumerate(ordered):
        for j, b in enumerate(ordered[:i]):
            distances[i, j] = distances[j, i] = _between(a, b)
    return distances


def emd_rows(a: Reals, b: Reals) -> Reals:
    """The EMD of each row of ``a`` to the same row of ``b``: ``[..., n]`` and ``[..., m]`` -> ``[...]``, unchecked."""
    return sorted_gaps(a, b) if a.shape == b.shape else _between(np.sort(a), np.sort(b))


def flat(values: Rates) -> Reals:
    """A set of rates as a flat float64 array.

    Raises:
        SpecError: the set is empty, or holds what is not a finite number.
    """
    array = _plain(values)
    if not np.isfinite(array).all():
        raise SpecError(f"a set of rates holds {array[~np.isfinite(array)][0]}: the EMD needs finite rates")
    return array


def _plain(values: Rates) -> Reals:
    """The same, whatever its numbers are."""
    try:
        plain = values.detach().double().cpu().numpy() if isinstance(values, Tensor) else values
        array = np.asarray(plain, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise SpecError(f"a set of rates is not a list of numbers: {error}; give one rate per channel") from error
    if array.size == 0:
        raise SpecError("a set of rates is empty: the EMD needs at least one rate on either side")
    return array


def _between(a: Reals, b: Reals) -> Reals:
    n, m = a.shape[-1], b.shape[-1]
    if n == m:
        return np.asarray(np.abs(a - b).mean(axis=-1))
    # Both quantile functions are steps; between two neighbors of the merged step ends, counted in units of 1 / (n m),
    # each is constant. Integers keep this exact: equal distributions of unequal sizes are at distance 0.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0)
    gaps = np.abs(a[..., (ends - 1) // m] - b[..., (ends - 1) // n])
    return np.asarray((gaps * widths).sum(axis=-1) / (n * m))
