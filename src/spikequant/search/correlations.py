"""How two measures go together over configurations, once others are known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.search.claims import Claim
from spikequant.search.rows import Row, Tags, words

Reals = NDArray[np.float64]


class Effect(NamedTuple):
    """One case: what it is of, the effect (a logarithm where ratios are compared, Fisher's z of a correlation), its standard error,
    None where unknown.

    ``seeds``: how many runs of either side; ``freedom``: degrees of freedom of the error; ``drawn``: the effect of each seed.
    """

    case: str
    value: float
    error: float | None
    freedom: int
    seeds: int
    drawn: Mapping[int | None, float] = {}


def correlations(claim: Claim, rows: Sequence[Row]) -> Iterator[Effect]:
    """The correlation of each case as Fisher's z, whose standard error is ``1 / sqrt(n - k - 3)`` with k measures given."""
    assert claim.beside is not None, "the claim has checked it"
    names = [claim.measure, claim.beside, *claim.given]
    for text in claim.each:
        points = _points(claim, [row for row in rows if words(text) <= row.tags], names)
        freedom = len(points) - len(claim.given) - 3
        if freedom > 0:
            r = partial_correlation(points[:, 0], points[:, 1], points[:, 2:])
            z = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))
            yield Effect(" ".join(sorted(words(claim.of) | words(text))) or "all", z, 1 / math.sqrt(freedom), freedom, len(points))


def partial_correlation(a: Reals, b: Reals, given: Reals) -> float:
    """Pearson's correlation of what a line through ``given`` ``[point, measure]`` leaves of ``a`` and ``b``; 0 where it leaves nothing.

    >>> a, c = np.array([1.0, 2.0, 4.0, 5.0, 9.0]), np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    >>> round(partial_correlation(a + c, a - c, np.stack([c], axis=1)), 6)
    1.0
    """
    known = np.column_stack([np.ones(len(a)), given])
    left = [side - known @ np.linalg.lstsq(known, side, rcond=None)[0] for side in (a, b)]
    sizes = [float(np.linalg.norm(rest)) for rest in left]
    if any(size <= 1e-12 * max(1.0, float(np.linalg.norm(side))) for size, side in zip(sizes, (a, b), strict=True)):
        return 0.0
    return float(left[0] @ left[1] / (sizes[0] * sizes[1]))


def _points(claim: Claim, rows: Sequence[Row], names: Sequence[str]) -> Reals:
    """One line for each configuration that was measured in full: the mean over its seeds of each measure, or of how far it moved from its
    baseline; a run without one has not moved from anything, and is left out."""
    of, against = words(claim.of), words(claim.against or "")
    lines: dict[Tags, list[list[float]]] = {}
    for row in rows:
        if of <= row.tags and not (against and against <= row.tags) and set(names) <= row.measures.keys():
            base = _baseline(row, rows, against) if against else None
            if against and base is None:
                continue
            lines.setdefault(row.tags, []).append([_moved(row, base, name) for name in names])
    return np.array([np.mean(values, axis=0) for values in lines.values()]).reshape(len(lines), len(names))


def _baseline(row: Row, rows: Sequence[Row], against: Tags) -> Row | None:
    found = [other for other in rows if against <= other.tags and other.tags - against <= row.tags and other.seed == row.seed]
    return max(found, key=lambda other: len(other.tags), default=None)


def _moved(row: Row, base: Row | None, name: str) -> float:
    return abs(row.measures[name] - base.measures[name]) if base is not None and name in base.measures else row.measures[name]
