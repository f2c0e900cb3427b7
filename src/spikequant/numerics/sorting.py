"""The mean distance between two sets of numbers once both are sorted."""

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


def sorted_gaps(a: Reals, b: Reals) -> Reals:
    """The mean ``|sort(a) - sort(b)|`` of each row of two arrays of one shape: ``[..., n]`` -> ``[...]``, unchecked.

    >>> sorted_gaps(np.array([[1.0, 0.0], [2.0, 2.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])).tolist()
    [0.0, 1.5]
    """
    return np.asarray(np.abs(np.sort(a) - np.sort(b)).mean(axis=-1))
