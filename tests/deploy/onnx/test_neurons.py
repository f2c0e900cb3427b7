"""Every 8-bit state and accumulator, leak, reset and comparison: the nodes give what ``arithmetic.step`` gives."""

import itertools

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from spikequant.deploy import arithmetic
from spikequant.deploy.arithmetic import Constants, Membrane
from spikequant.deploy.onnx import neurons
from spikequant.deploy.onnx.graph import Graph
from spikequant.deploy.operations import Leak, Lif, Synapse

ROUNDINGS = ("floor", "trunc", "half_up")
LEAKS = (
    Leak(), Leak(kind="shift", shift=2), Leak(kind="shift_min1", shift=3), Leak(kind="constant", amount=3),
    *(Leak(kind="multiply_shift", multiplier=192, shift=8, rounding=rounding) for rounding in ROUNDINGS),
)  # fmt: skip
ACCUMULATORS = np.arange(-300, 301, 3)


def both(op: Lif, tensors: dict[str, np.ndarray], v: np.ndarray, acc: np.ndarray, current: np.ndarray | None = None):
    """Spikes, membranes and currents of nodes and of the interpreter, for neurons ``[batch, 1]``."""
    g = Graph()
    names = ["acc", "v", *(["current"] if op.synapse else [])]
    z, after = neurons.step(g, op, "acc", neurons.State(*names[1:]), neurons.held(g, op, (1,), tensors))
    outputs = [z, *(name for name in after if name is not None)]
    for index, name in enumerate(outputs):
        g.named(name, f"out{index}")
    values = dict(zip(names, (acc, v, current), strict=False))
    info = [helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", 1]) for name in names]
    out = [helper.make_tensor_value_info(f"out{index}", TensorProto.INT32, ["batch", 1]) for index in range(len(outputs))]
    made = helper.make_model(helper.make_graph(g.nodes, "step", info, out, g.constants), opset_imports=[helper.make_opsetid("", 21)])
    made.ir_version = 10
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: values[name].astype(np.int32) for name in names})
    held = Constants(tensors[f"{op.name}.threshold"].reshape(1, 1), *(tensors.get(f"{op.name}.{part}") for part in ("levels", "leaked")))
    z, membrane = arithmetic.step(op, acc, Membrane(v, current), held)
    return found, [z, *(part for part in membrane if part is not None)]


def lif(**choices: object) -> Lif:
    return Lif(name="lif", inputs=("x",), **{"state_bits": 8, "shift": 1, **choices})


def grid(low: int, high: int) -> list[np.ndarray]:
    return [each.reshape(-1, 1) for each in np.meshgrid(np.arange(low, high + 1), ACCUMULATORS)]


def assert_equal(op: Lif, tensors: dict[str, np.ndarray], *values: np.ndarray) -> None:
    found, expected = both(op, tensors, *values)
    assert len(found) == len(expected)
    assert all(np.array_equal(left, right) for left, right in zip(found, expected, strict=True)), op


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: f"{leak.kind}-{leak.rounding}")
def test_every_state_and_accumulator(leak: Leak) -> None:
    choices = itertools.product(("subtract", "value", "none"), (">=", ">"), ("now", "next"), ("saturate", "wrap"))
    for reset, compare, timing, overflow in choices:
        op = lif(leak=leak, reset=reset, compare=compare, timing=timing, overflow=overflow, reset_value=2)
        assert_equal(op, {"lif.threshold": np.array([40])}, *grid(-128, 127))


@pytest.mark.parametrize("rounding", ["floor", "half_up", "half_even"])
@pytest.mark.parametrize("more", [{"compare_at": "full"}, {"snapped": "after_reset"}, {"max_spikes": 3}, {"signed": False}])
def test_every_place_of_rounding(rounding: str, more: dict) -> None:
    for shift, compare in itertools.product((0, 2), (">=", ">")):
        op = lif(rounding=rounding, shift=shift, compare=compare, leak=Leak(kind="shift", shift=2), **more)
        assert_equal(op, {"lif.threshold": np.array([25])}, *grid(op.low, op.high))


def test_a_codebook_takes_the_nearest_level_and_the_lower_of_two() -> None:
    levels = np.array([[-9, -3, 0, 4, 8, 20]])
    for timing, snapped in itertools.product(("now", "next"), ("before_fire", "after_reset")):
        op = lif(shift=0, state_bits=4, levels=6, leak=Leak(kind="table"), timing=timing, snapped=snapped, emits="membrane")
        tensors = {"lif.threshold": np.array([8]), "lif.levels": levels, "lif.leaked": levels - (levels >> 2)}
        assert_equal(op, tensors, *grid(0, 5))


def test_a_synaptic_current_charges_the_membrane() -> None:
    v, acc = grid(-128, 127)
    for overflow in ("saturate", "wrap"):
        op = lif(synapse=Synapse(bits=8, leak=Leak(kind="shift", shift=1), overflow=overflow), leak=Leak(kind="shift", shift=2))
        assert_equal(op, {"lif.threshold": np.array([30])}, v, acc, np.roll(v, 77, axis=0))


def test_another_rounding_is_seen() -> None:
    v, acc = grid(-128, 127)
    floored, halves = (lif(rounding=rounding) for rounding in ("floor", "half_up"))
    assert not np.array_equal(
        both(floored, {"lif.threshold": np.array([40])}, v, acc)[0][1], both(halves, {"lif.threshold": np.array([40])}, v, acc)[1][1]
    )
