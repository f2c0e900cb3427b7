import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.arithmetic import leak
from spikequant.deploy.bounds import Range
from spikequant.deploy.machine import moments
from spikequant.deploy.operations import Add, Dense, Leak, Lif, Synapse
from spikequant.deploy.program import Header, Source
from spikequant.deploy.rails import midway, rails


def one(weights: list[list[int]], time: int, **neurons: object) -> tuple[Program, Lif]:
    """Synapses and the neurons that they feed, with thresholds of 10."""
    w = np.array(weights)
    dense = Dense(name="dense", inputs=("input",), bits=8, features=len(w), bias=False)
    lif = Lif(name="lif", inputs=("dense",), **{"state_bits": 8, **neurons})
    header = Header(name="one", time=time, source=Source(shape=(w.shape[1],), still=False), operations=(dense, lif))
    return Program(header, {"dense.weight": w, "lif.threshold": np.full(len(w), 10)}), lif


def test_by_hand() -> None:
    """Down by 3 a step, up by 4 until it fires at 10 and keeps at most 9."""
    assert midway(*one([[-3, 4]], 1)) == Range(-3, 4)
    assert midway(*one([[-3, 4]], 4)) == Range(-12, 13)
    assert midway(*one([[-3, 4]], 4, reset="none")) == Range(-12, 16)
    assert midway(*one([[-3, 4]], 100, leak=Leak(kind="shift", shift=1))) == Range(-5, 8)
    assert midway(*one([[0, 0]], 100)) == Range(0, 0)


def test_what_takes_the_events_is_the_current() -> None:
    program, lif = one([[-3, 40]], 3, synapse=Synapse(bits=9, leak=Leak()))
    assert rails(lif) == Range(-256, 255)
    assert midway(program, lif) == Range(-9, 120)


def test_events_of_two_sums_come_in_any_order() -> None:
    """100 - 100 + 1 is never more than 1, but on the way to it 101."""
    parts = [Dense(name=name, inputs=("input",), bits=8, features=1, bias=False) for name in ("a", "b")]
    lif = Lif(name="lif", inputs=("sum",), state_bits=8)
    header = Header(name="two", time=1, source=Source(shape=(2,)), operations=(*parts, Add(name="sum", inputs=("a", "b")), lif))
    tensors = {"a.weight": np.array([[100, -100]]), "b.weight": np.array([[1, 0]]), "lif.threshold": np.array([10])}
    assert midway(Program(header, tensors), lif) == Range(-100, 101)


@pytest.mark.parametrize("reset", ["subtract", "value", "none"])
@pytest.mark.parametrize("how", [Leak(), Leak(kind="shift_min1", shift=2), Leak(kind="constant", amount=2)])
def test_no_draw_goes_further(reset: str, how: Leak) -> None:
    draw = np.random.default_rng(0)
    program, lif = one(
        draw.integers(-9, 10, (3, 5)).tolist(), 12, reset=reset, leak=how, compare=">", max_spikes=2 if reset == "subtract" else 1
    )
    found, x = midway(program, lif), draw.integers(0, 2, (12, 200, 5))
    v = np.zeros((200, 3), np.int64)
    for t, moment in enumerate(moments(program, x)):
        each = x[t][:, None] * program.tensors["dense.weight"]
        kept = leak(v, how)
        assert found.low <= (kept + np.minimum(each, 0).sum(2)).min()
        assert (kept + np.maximum(each, 0).sum(2)).max() <= found.high
        v = moment.membranes["lif"].v
