"""Golden values, by hand and from integer-program's tables; and the same step in Python's own integers."""

import itertools
import math

import numpy as np
import pytest

from spikequant.deploy.arithmetic import Constants, Membrane, fitted, leak, nearest, rest, shifted, step
from spikequant.deploy.operations import Leak, Lif, Synapse

BYTES = np.arange(-128, 128)
LEAKS = {
    "none": (Leak(), lambda v: v),
    "shift": (Leak(kind="shift", shift=2), lambda v: v - math.floor(v / 4)),
    "shift_min1": (Leak(kind="shift_min1", shift=2), lambda v: v - (math.floor(v / 4) or (v > 0))),
    "floor": (Leak(kind="multiply_shift", multiplier=192, shift=8, rounding="floor"), lambda v: math.floor(v * 0.75)),
    "trunc": (Leak(kind="multiply_shift", multiplier=192, shift=8), lambda v: math.trunc(v * 0.75)),
    "half_up": (Leak(kind="multiply_shift", multiplier=192, shift=8, rounding="half_up"), lambda v: math.floor(v * 0.75 + 0.5)),
    "constant": (Leak(kind="constant", amount=3), lambda v: int(math.copysign(max(abs(v) - 3, 0), v))),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_of_every_byte(name: str) -> None:
    how, plain = LEAKS[name]
    assert leak(BYTES, how).tolist() == [plain(int(v)) for v in BYTES]


@pytest.mark.parametrize(("name", "fixed"), [("shift", [0, 1, 2, 3]), ("half_up", [-1, 0, 1, 2]), ("trunc", [0]), ("shift_min1", [0])])
def test_membranes_that_never_decay(name: str, fixed: list[int]) -> None:
    assert BYTES[leak(BYTES, LEAKS[name][0]) == BYTES].tolist() == fixed


@pytest.mark.parametrize(("rounding", "plain"), [("floor", math.floor), ("half_up", lambda y: math.floor(y + 0.5)), ("half_even", round)])
def test_shift_rounds(rounding: str, plain) -> None:
    for q in range(4):
        assert shifted(BYTES, q, rounding).tolist() == [plain(int(x) / 2**q) for x in BYTES]


def test_wrap_drops_whole_turns() -> None:
    assert fitted(np.array([-129, 128, 384]), -128, 127, "wrap").tolist() == [127, -128, -128]


def test_nearest_is_the_first_of_the_closest() -> None:
    levels = np.array([[-9, -4, 0, 1, 7, 20]])
    u = np.arange(-40, 41).reshape(1, 1, -1)
    assert np.array_equal(nearest(u, levels), np.abs(u[..., None] - levels[0]).argmin(-1))


def plain_step(op: Lif, acc: int, v: int, threshold: int) -> tuple[int, int]:
    """The normative step, once more, for one neuron, in exact rationals."""
    q = op.shift
    late = fires(op, v, threshold) if op.timing == "next" else 0
    if late and op.reset == "value":
        v = op.reset_value
    u = LEAKS["trunc"][1](v * 2**q) + acc
    if late and op.reset == "subtract":
        u -= threshold * 2**q
    rounded = {"floor": math.floor, "half_up": lambda y: math.floor(y + 0.5), "half_even": round}[op.rounding]

    def stored(y: float) -> int:
        whole = rounded(y)
        return min(max(whole, op.low), op.high) if op.overflow == "saturate" else (whole - op.low) % 2**op.state_bits + op.low

    value = u / 2**q if op.snapped == "after_reset" else stored(u / 2**q)
    z = fires(op, u / 2**q if op.compare_at == "full" else value, threshold)
    if op.timing == "now" and z and op.reset != "none":
        value = value - threshold if op.reset == "subtract" else op.reset_value
    return z, stored(value) if op.snapped == "after_reset" else int(value)


def fires(op: Lif, value: float, threshold: int) -> int:
    return int(value >= threshold if op.compare == ">=" else value > threshold)


CHOICES = {
    "reset": ["subtract", "value", "none"],
    "timing": ["now", "next"],
    "compare": [">=", ">"],
    "compare_at": ["stored", "full"],
    "snapped": ["before_fire", "after_reset"],
    "overflow": ["saturate", "wrap"],
    "rounding": ["floor", "half_up", "half_even"],
}


def test_every_choice_follows_the_normative_step() -> None:
    accs, states = np.arange(-23, 90, 7), np.arange(-16, 16)
    for choice in itertools.product(*CHOICES.values()):
        fields = dict(zip(CHOICES, choice, strict=True))
        if fields["overflow"] == "wrap" and fields["compare_at"] == "full":
            continue
        op = Lif(name="n", inputs=("a",), state_bits=5, shift=2, reset_value=-3, leak=LEAKS["trunc"][0], **fields)
        acc, v = (grid.reshape(1, 1, -1) for grid in np.meshgrid(accs, states))
        z, membrane = step(op, acc, Membrane(v), Constants(np.array([[[9]]])))
        expected = [plain_step(op, int(a), int(s), 9) for a, s in zip(acc.flat, v.flat, strict=True)]
        assert list(zip(z.flatten().tolist(), membrane.v.flatten().tolist(), strict=True)) == expected, fields


def test_worked_fold() -> None:
    """integer-program 4.6: inputs give acc 2, -1, 1, -3 over threshold 19, leak v - (v >> 1), hard reset."""
    op = Lif(name="n", inputs=("a",), state_bits=8, leak=Leak(kind="shift", shift=1), reset="value")
    held, membrane, seen = Constants(np.array([[19]])), rest(op, np.zeros((1, 1), np.int64), Constants(np.array([[19]]))), []
    for acc in (2, -1, 1, -3):
        z, membrane = step(op, np.array([[acc]]), membrane, held)
        seen.append((int(membrane.v[0, 0]), int(z[0, 0])))
    assert seen == [(2, 0), (0, 0), (1, 0), (-2, 0)]


def test_several_spikes_fit_into_one_step() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, max_spikes=3)
    strict = op.model_copy(update={"compare": ">"})
    acc = np.array([[[9, 10, 25, 39, 50]]])
    held = Constants(np.array([[[10]]]))
    z, membrane = step(op, acc, Membrane(np.zeros_like(acc)), held)
    assert (z.flatten().tolist(), membrane.v.flatten().tolist()) == ([0, 1, 2, 3, 3], [9, 0, 5, 9, 20])
    assert step(strict, acc, Membrane(np.zeros_like(acc)), held)[0].flatten().tolist() == [0, 0, 2, 3, 3]


def test_a_synaptic_current_decays_by_itself() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, synapse=Synapse(bits=8, leak=Leak(kind="shift", shift=1)))
    membrane, seen = rest(op, np.zeros((1, 1), np.int64), Constants(np.array([[100]]))), []
    for acc in (8, 0, 0):
        _, membrane = step(op, np.array([[acc]]), membrane, Constants(np.array([[100]])))
        seen.append((int(membrane.current[0, 0]), int(membrane.v[0, 0])))
    assert seen == [(8, 8), (4, 12), (2, 14)]


def test_codebook_steps_as_a_float_simulation_does() -> None:
    levels = np.array([[-32, -12, 0, 16, 40, 56, 61, 64, 67, 72, 80, 88, 92, 96]])
    leaked = levels - (levels >> 2)
    op = Lif(name="n", inputs=("a",), state_bits=4, levels=14, leak=Leak(kind="table"))
    held = Constants(np.array([[64]]), levels, leaked)
    membrane, value = rest(op, np.zeros((1, 1), np.int64), held), 0
    for acc in np.random.default_rng(5).integers(-30, 45, 300):
        z, membrane = step(op, np.array([[acc]]), membrane, held)
        u = int(leaked[0, list(levels[0]).index(value)]) + int(acc)
        value = int(levels[0, np.abs(levels[0] - u).argmin()])
        fired = value >= 64
        if fired:
            value = int(levels[0, np.abs(levels[0] - (value - 64)).argmin()])
        assert (int(z[0, 0]), int(levels[0, membrane.v[0, 0]])) == (int(fired), value)


def test_a_refractory_neuron_leaks_but_takes_no_current() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, refractory=2, reset="value", reset_value=4, leak=Leak(kind="constant", amount=1))
    held, membrane = Constants(np.array([[10]])), Membrane(np.array([[0]]), None, np.array([[0]]))
    seen = []
    for acc in (10, 10, 10, 10, 3):
        z, membrane = step(op, np.array([[acc]]), membrane, held)
        seen.append((int(z[0, 0]), int(membrane.v[0, 0]), int(membrane.left[0, 0])))
    # It fires and rests for two steps, in which it leaks; then the current of 10 makes it fire again.
    assert seen == [(1, 4, 2), (0, 3, 1), (0, 2, 0), (1, 4, 2), (0, 3, 1)]
