import pytest

from spikequant.deploy.operations import Add, Concat, Conv2d, Dense, Flatten, Leak, Lif, SumPool
from spikequant.errors import SpecError

ONE = {"name": "a", "inputs": ("input",)}
TWO = {"name": "a", "inputs": ("b", "c")}


def test_shapes_follow_the_geometry() -> None:
    conv = Conv2d(**ONE, bits=4, channels=6, kernel=(3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 1), groups=2)
    assert conv.out_shape([(4, 9, 9)]) == (6, 5, 9)
    assert conv.slots([(4, 9, 9)])["weight"].shape == (6, 2, 3, 5)
    assert Concat(**TWO).out_shape([(2, 3, 3), (5, 3, 3)]) == (7, 3, 3)
    assert Flatten(**ONE).out_shape([(2, 3, 3)]) == (18,)
    assert SumPool(**ONE, size=(2, 2), stride=(2, 2)).out_shape([(1, 5, 4)]) == (1, 2, 2)


def test_codes_of_planes_are_unsigned() -> None:
    slots = Dense(**ONE, bits=2, coding="planes", features=3).slots([(7,)])
    assert (slots["weight"].low, slots["weight"].high, slots["weight"].shape, slots["basis"].shape) == (0, 3, (3, 7), (3, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2d(**ONE, bits=4, channels=4, kernel=(9, 9)).out_shape([(1, 3, 3)]),
        lambda: Conv2d(**ONE, bits=4, channels=4, kernel=(1, 1), groups=3).slots([(3, 3, 3)]),
        lambda: Dense(**ONE, bits=9, features=3),
        lambda: Dense(**ONE, bits=4, features=3).out_shape([(2, 2)]),
        lambda: Add(**TWO).out_shape([(1,), (2,)]),
        lambda: Conv2d(**ONE, bits=4, channels=4, kernel=(3, 3), padding=(10**9, 0)),
        lambda: Leak(kind="multiply_shift", multiplier=257, shift=8),
        lambda: Lif(**ONE, state_bits=8, reset="value", reset_value=200),
        lambda: Lif(**ONE, state_bits=8, max_spikes=3, reset="value"),
        lambda: Lif(**ONE, state_bits=8, max_spikes=3, compare_at="full"),
        lambda: Lif(**ONE, state_bits=2, levels=5, leak=Leak(kind="table")),
        lambda: Lif(**ONE, state_bits=4, levels=16),
        lambda: Lif(**ONE, state_bits=8, overflow="wrap", compare_at="full"),
    ],
)
def test_what_cannot_be_is_refused(make) -> None:
    with pytest.raises(SpecError):
        make()
