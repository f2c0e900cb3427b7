import pytest

from spikequant.errors import SpecError
from spikequant.quantizers import Membrane


def test_words_for_tables() -> None:
    assert Membrane(bits=3, fit="calibrated", anchors=False).label() == "membrane levels calibrated, no anchors"


@pytest.mark.parametrize(("bits", "below", "lower"), [(2, None, 1), (3, None, 2), (4, None, 4), (3, 0, 0)])
def test_a_quarter_lies_below_zero(bits: int, below: int | None, lower: int) -> None:
    assert Membrane(bits=bits, below=below).lower == lower


def test_one_bit_and_no_room_for_the_anchors_are_refused() -> None:
    with pytest.raises(SpecError, match=r"Membrane\.bits: must be greater than or equal to 2, got 1"):
        Membrane(bits=1)
    with pytest.raises(SpecError, match="below must leave zero and the threshold their levels, got 3; nearest valid value: 2"):
        Membrane(bits=2, below=3)


def test_it_has_no_grid_of_its_own() -> None:
    with pytest.raises(SpecError, match="depends on data"):
        Membrane(bits=2).grid()
