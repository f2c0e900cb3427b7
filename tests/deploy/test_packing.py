import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikequant.deploy.packing import pack, packed_bytes, unpack


@given(st.integers(1, 16), st.booleans(), st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=40))
def test_unpacks_what_was_packed(bits: int, signed: bool, drawn: list[int]) -> None:
    values = np.array(drawn) % 2**bits - (2 ** (bits - 1) if signed else 0)
    packed = pack(values, bits)
    assert len(packed) == packed_bytes(len(values), bits)
    assert np.array_equal(unpack(packed, bits, len(values), signed), values)


def test_three_bits_lie_across_bytes() -> None:
    assert pack(np.array([0b111, 0b000, 0b101]), 3).tolist() == [0b01000111, 0b1]
