"""Which finished candidates to keep: the Pareto front, its knee, and the volume that it dominates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikequant.errors import SpecError


def front(costs: ArrayLike) -> list[int]:
    """Indices of the candidates that no other dominates: as good in every cost, better in one. Of equals the first stays.

    Shapes: ``costs [candidate, objective]``, all to be minimized.

    Raises:
        SpecError: no table of finite numbers.

    >>> front([[1, 9], [2, 2], [3, 3], [9, 1], [2, 2]])
    [0, 1, 3]
    """
    table = _table(costs)
    kept = []
    for index, row in enumerate(table):
        as_good, better = (table <= row).all(1), (table < row).any(1)
        repeated = (table[:index] == row).all(1).any()
        if not (as_good & better).any() and not repeated:
            kept.append(index)
    return kept


def knee(costs: ArrayLike) -> int:
    """Index of the candidate of the front that lies farthest below the plane through the front's ends.

    With every cost scaled to [0, 1] over the front, that is the smallest sum of costs; of equals the first.

    Raises:
        SpecError: no table of finite numbers, or no candidate.

    Source: Das 1999, "On characterizing the knee of the Pareto curve".

    >>> knee([[0, 10], [1, 2], [10, 0]])
    1
    """
    table = _table(costs)
    if not len(table):
        raise SpecError("a knee needs at least 1 candidate, got 0")
    kept = front(table)
    low, high = table[kept].min(0), table[kept].max(0)
    scaled = (table[kept] - low) / np.where(high > low, high - low, 1)
    return kept[int(scaled.sum(1).argmin())]


def hypervolume(costs: ArrayLike, reference: Sequence[float]) -> float:
    """Volume between the front and ``reference``: what at least one candidate is better than in every cost.

    Raises:
        SpecError: no table of finite numbers, or a reference of another length.

    >>> hypervolume([[1, 2], [2, 1]], [3, 3])
    3.0
    """
    table, corner = _table(costs), np.asarray(reference, dtype=np.float64)
    if corner.shape != (table.shape[1],) or not np.isfinite(corner).all():
        raise SpecError(f"reference {list(reference)} must hold {table.shape[1]} finite numbers, one for each objective")
    inside = table[(table < corner).all(1)]
    return _volume(inside[front(inside)], corner)


def _volume(table: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    """By slices along the last cost: between two neighboring values, what the better ones dominate in the other costs."""
    if not len(table):
        return 0.0
    if table.shape[1] == 1:
        return float(corner[0] - table.min())
    table = table[table[:, -1].argsort(kind="stable")]
    bounds = np.append(table[1:, -1], corner[-1])
    slices = bounds - table[:, -1]
    return float(sum(depth * _volume(table[: index + 1, :-1], corner[:-1]) for index, depth in enumerate(slices) if depth > 0))


def _table(costs: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(costs, dtype=np.float64)
    if table.size == 0:
        return table.reshape(0, table.shape[1] if table.ndim == 2 else 1)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise SpecError(f"costs must be finite numbers [candidate, objective], got shape {table.shape}")
    return table
