import numpy as np
import pytest

from spikequant.data.events import Binning, Events, flat, frames
from spikequant.errors import DataError, SpecError


def events(*pairs: tuple[int, int]) -> Events:
    t, place = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Events(t, place)


def test_bins_of_a_fixed_time_begin_at_the_first_event_and_cut_the_rest() -> None:
    found = frames(events((5000, 0), (5999, 1), (6000, 1), (8000, 0)), 2, Binning(steps=3, step_ms=1.0))
    assert found.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert found.dtype == np.uint8


def test_equal_parts_hold_the_whole_recording() -> None:
    found = frames(events((0, 0), (10, 0), (50, 0), (99, 0)), 1, Binning(steps=2))
    assert found[:, 0].tolist() == [2, 2]
    assert frames(events((7, 0)), 1, Binning(steps=3))[:, 0].tolist() == [1, 0, 0]


def test_equal_counts() -> None:
    found = frames(events(*[(t, 0) for t in (0, 1, 2, 1000, 5000, 90000)]), 1, Binning(steps=3, by="count"))
    assert found[:, 0].tolist() == [2, 2, 2]


def test_many_events_saturate_or_count_as_one() -> None:
    many = events(*[(0, 0)] * 300)
    assert frames(many, 1, Binning(steps=1))[0, 0] == 255
    assert frames(many, 1, Binning(steps=1, binary=True))[0, 0] == 1


def test_a_recording_without_events_is_silent() -> None:
    for binning in (Binning(steps=2), Binning(steps=2, step_ms=1.0), Binning(steps=2, by="count")):
        assert frames(events(), 3, binning).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_places_and_times_are_checked() -> None:
    with pytest.raises(DataError, match="place 0 or 3, outside 0 to 2"):
        frames(events((0, 0), (1, 3)), 3, Binning(steps=1))
    with pytest.raises(DataError, match="backwards"):
        frames(events((1, 0), (0, 0)), 1, Binning(steps=1))


def test_down_sampling_joins_pixels_and_keeps_polarities_apart() -> None:
    x, y, on = np.array([0, 3, 33]), np.array([1, 2, 33]), np.array([0, 1, 1])
    assert flat(x, y, on, 34, 1).tolist() == [34, 34 * 34 + 2 * 34 + 3, 34 * 34 + 33 * 34 + 33]
    assert flat(x, y, on, 34, 4).tolist() == [0, 64, 64 + 7 * 8 + 7]


def test_pixels_left_over_join_the_last() -> None:
    assert flat(np.array([32, 33]), np.array([0, 0]), np.array([0, 0]), 34, 3).tolist() == [10, 10]


def test_no_more_pixels_are_joined_than_there_are() -> None:
    assert Binning(steps=1, down=34).checked(34).down == 34
    with pytest.raises(SpecError, match="down joins pixels along a side of 34, got down=35; nearest valid value: 34"):
        Binning(steps=1, down=35).checked(34)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"down": 0}, {"step_ms": 0.0}, {"step_ms": 1.0, "by": "count"}])
def test_bad_binnings_are_refused(fields) -> None:
    with pytest.raises(SpecError):
        Binning(**{"steps": 1, **fields}).checked()
