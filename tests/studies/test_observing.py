import pytest

from spikequant.errors import SpecError
from spikequant.studies import ranges


def test_rows_of_a_network() -> None:
    rows = ranges("digits", "digits", images=20)
    assert [row["parameter"] for row in rows] == ["w", "w", "w", "bias", *["V", "V_th", "decay"] * 2]
    assert all(row["low"] <= row["high"] and row["integer_bits"] >= 1 for row in rows)


def test_refuses_data_of_another_shape() -> None:
    with pytest.raises(SpecError, match="stdp-net takes"):
        ranges("stdp-net", "digits")


def test_refuses_no_image() -> None:
    with pytest.raises(SpecError, match="images -1 must be at least 1"):
        ranges("digits", "digits", images=-1)
