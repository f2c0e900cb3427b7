import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikequant.errors import SpecError
from spikequant.search import front, hypervolume, knee

TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 6), min_size=width, max_size=width), min_size=1, max_size=12)
)


@given(TABLES)
def test_front_is_what_nothing_dominates(costs: list[list[int]]) -> None:
    kept = front(costs)
    for index, one in enumerate(costs):
        beaten = any(all(map(int.__le__, other, one)) and other != one for other in costs)
        repeated = one in costs[:index]
        assert (index in kept) == (not beaten and not repeated)


@given(TABLES)
def test_hypervolume_counts_the_dominated_cells(costs: list[list[int]]) -> None:
    """On integers the volume is the number of unit cells that some candidate dominates."""
    width = len(costs[0])
    cells = np.stack(np.meshgrid(*[np.arange(7)] * width, indexing="ij"), -1).reshape(-1, width)
    dominated = (cells[:, None, :] >= np.array(costs)[None]).all(2).any(1).sum()
    assert hypervolume(costs, [7] * width) == dominated


def test_a_point_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume([[1, 1], [0, 5]], [3, 3]) == 4.0
    assert hypervolume([[5, 5]], [3, 3]) == 0.0


def test_knee_lies_farthest_below_the_line_between_the_ends() -> None:
    assert knee([[0, 10], [5, 5], [2, 3], [10, 0]]) == 2
    assert knee([[4, 4]]) == 0


@pytest.mark.parametrize("costs", [[[float("nan"), 1]], [1, 2, 3]])
def test_what_is_no_table_of_numbers_is_refused(costs: list) -> None:
    with pytest.raises(SpecError, match="finite numbers"):
        front(costs)


def test_a_wrong_reference_or_no_candidate_is_refused() -> None:
    with pytest.raises(SpecError, match=r"reference \[1\] must hold 2 finite numbers"):
        hypervolume([[1, 2]], [1])
    with pytest.raises(SpecError, match="at least 1 candidate"):
        knee([])
