import numpy as np

from spikequant.numerics.sorting import sorted_gaps


def test_by_hand() -> None:
    # [1, 3, 4] and [2, 3, 7] are 1, 0 and 3 apart
    assert sorted_gaps(np.array([4.0, 1.0, 3.0]), np.array([3.0, 7.0, 2.0])) == 4 / 3


def test_rows_are_sorted_each_by_itself() -> None:
    a, b = np.array([[0.0, 2.0], [5.0, 4.0]]), np.array([[2.0, 0.0], [4.0, 8.0]])
    assert sorted_gaps(a, b).tolist() == [0.0, 1.5]


def test_inputs_are_left_as_they_were() -> None:
    a, b = np.array([1.0, 0.0]), np.array([3.0, 2.0])
    sorted_gaps(a, b)
    assert (a.tolist(), b.tolist()) == ([1.0, 0.0], [3.0, 2.0])
