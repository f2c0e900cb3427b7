import numpy as np
import pytest

from spikequant.deploy.bounds import Range, prove, weights
from spikequant.deploy.operations import Add, Conv2d, Dense, Leak, Lif, SumPool
from spikequant.errors import SpecError

ONE = {"name": "a", "inputs": ("input",)}


def test_levels_of_planes() -> None:
    """integer-program 4.4: V = (3, 7), codes (++)(-+)(+-)(--)."""
    op = Dense(**ONE, bits=2, coding="planes", features=1)
    assert weights(op, {"a.weight": np.array([[3, 2, 1, 0]]), "a.basis": np.array([[3, 7]])}).tolist() == [[10, 4, -4, -10]]


def test_bound_comes_from_the_weights() -> None:
    op = Dense(**ONE, bits=4, features=2)
    tensors = {"a.weight": np.array([[7, -3], [1, 1]]), "a.bias": np.array([-5, 100])}
    proof = prove(op, [Range(0, 2)], tensors)
    assert proof.value == Range(-11, 104)
    assert proof.widest == Range(-11, 104)
    assert proof.accumulator_bits == 8


def test_a_partial_sum_counts_though_no_result_reaches_it() -> None:
    op = Dense(**ONE, bits=8, features=1)
    tensors = {"a.weight": np.array([[100, 27]]), "a.bias": np.array([-200])}
    proof = prove(op, [Range(0, 1)], tensors)
    assert (proof.value, proof.widest) == (Range(-200, -73), Range(-200, 127))


@pytest.mark.parametrize("seed", range(20))
def test_no_draw_leaves_its_bound(seed: int) -> None:
    draw = np.random.default_rng(seed)
    op = Conv2d(**ONE, bits=4, channels=3, kernel=(1, 1))
    tensors = {"a.weight": draw.integers(-8, 8, (3, 2, 1, 1)), "a.bias": draw.integers(-50, 50, 3)}
    proof = prove(op, [Range(-3, 9)], tensors)
    x = draw.integers(-3, 10, (500, 2))
    acc = x @ tensors["a.weight"].reshape(3, 2).T + tensors["a.bias"]
    assert proof.value.low <= acc.min()
    assert acc.max() <= proof.value.high


def test_sums_of_spikes() -> None:
    assert prove(Add(name="a", inputs=("b", "c")), [Range(0, 1), Range(0, 2)], {}).value == Range(0, 3)
    assert prove(SumPool(**ONE, size=(2, 3), stride=(1, 1)), [Range(0, 2)], {}).value == Range(0, 12)


def test_overflow_is_refused() -> None:
    lif = Lif(**ONE, state_bits=24, shift=4, leak=Leak(kind="multiply_shift", multiplier=255, shift=8))
    with pytest.raises(SpecError, match="beyond 32 bits"):
        prove(lif, [Range(0, 1)], {"a.threshold": np.array([5])})
    narrow = lif.model_copy(update={"shift": 0, "state_bits": 16})
    assert prove(narrow, [Range(0, 1)], {"a.threshold": np.array([5])}).accumulator_bits == 32
