"""Events in bins: what every reader of recordings ends with."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.errors import DataError, SpecError

Counts = NDArray[np.uint8]
MOST = 255


class Events(NamedTuple):
    """One recording: ``t`` int64 microseconds, ascending; ``place`` int64, the flat index of where each event happened."""

    t: NDArray[np.int64]
    place: NDArray[np.int64]


class Binning(NamedTuple):
    """How a recording becomes ``steps`` frames of event counts.

    ``by`` ``time``: bins of ``step_ms`` from the recording's first event, later ones left out; where ``step_ms`` is None, ``steps`` equal
    parts of the whole recording. ``count``: as many events in each. ``down`` joins so many pixels along each side. ``binary`` counts
    no further than 1. Counts above 255 stay there.
    """

    steps: int
    step_ms: float | None = None
    by: Literal["time", "count"] = "time"
    down: int = 1
    binary: bool = False

    def checked(self, side: int | None = None) -> "Binning":
        """This binning; ``side``: pixels along each side of the sensor, 1 where it has none to join.

        Raises:
            SpecError: a field is out of its range.
        """
        if side is not None and self.down > side:
            raise SpecError(f"down joins pixels along a side of {side}, got down={self.down}; nearest valid value: {side}")
        if self.steps < 1 or self.down < 1:
            raise SpecError(f"a binning needs at least 1 step and 1 pixel, got steps={self.steps}, down={self.down}")
        if self.step_ms is not None and (self.by == "count" or not self.step_ms > 0):
            raise SpecError(f"step_ms must be above 0 and belongs to by='time', got {self.step_ms} with by={self.by!r}")
        if self.by not in ("time", "count"):
            raise SpecError(f"by must be 'time' or 'count', got {self.by!r}")
        return self

    def fields(self) -> dict[str, Any]:
        """The plain mapping of this binning."""
        return self._asdict()


def frames(events: Events, places: int, binning: Binning) -> Counts:
    """Event counts ``[step, place]`` of one recording; one without events is all zero.

    >>> frames(Events(np.array([0, 10, 990, 1500]), np.array([0, 0, 1, 1])), 2, Binning(steps=2, step_ms=1.0)).tolist()
    [[2, 1], [0, 1]]

    Raises:
        DataError: a place is outside, or time runs backwards.
    """
    t, place = events
    if len(place) and not 0 <= place.min() <= place.max() < places:
        raise DataError(f"an event lies at place {int(place.min())} or {int(place.max())}, outside 0 to {places - 1}")
    if len(t) and (np.diff(t) < 0).any():
        raise DataError("time runs backwards in a recording; sort its events first")
    step = _steps(t, binning)
    inside = step < binning.steps
    index = step[inside] * places + place[inside]
    counts = np.bincount(index, minlength=binning.steps * places).reshape(binning.steps, places)
    return np.minimum(counts, 1 if binning.binary else MOST).astype(np.uint8)


def _steps(t: NDArray[np.int64], binning: Binning) -> NDArray[np.int64]:
    if not len(t):
        return t
    if binning.by == "count":
        return np.asarray(np.arange(len(t)) * binning.steps // len(t))
    if binning.step_ms is not None:
        return np.asarray((t - t[0]) / (1000 * binning.step_ms), dtype=np.int64)
    return np.asarray((t - t[0]) * binning.steps // (t[-1] - t[0] + 1))


def flat(x: NDArray[Any], y: NDArray[Any], polarity: NDArray[Any], size: int, down: int) -> NDArray[np.int64]:
    """The flat index in ``[2, size / down, size / down]`` of events of a square sensor; pixels left over join the last.

    >>> flat(np.array([5]), np.array([2]), np.array([1]), 6, 2).tolist()  # 9 + 3 * 1 + 2
    [14]
    """
    side = size // down
    column, row = (np.minimum(each.astype(np.int64) // down, side - 1) for each in (x, y))
    return np.asarray((polarity.astype(np.int64) * side + row) * side + column)
