"""A neuron step in torch equals the interpreter's: every 8-bit state, accumulator, leak, reset and compare."""

import itertools

import numpy as np
import pytest
import torch

from spikequant.deploy.arithmetic import Constants, Membrane, step
from spikequant.deploy.membranes import Neurons, State
from spikequant.deploy.operations import Leak, Lif, Synapse

LEAKS = [
    Leak(),
    Leak(kind="shift", shift=3),
    Leak(kind="shift_min1", shift=2),
    Leak(kind="constant", amount=3),
    *[Leak(kind="multiply_shift", multiplier=230, shift=8, rounding=rounding) for rounding in ("floor", "trunc", "half_up")],
]
ACCS = np.arange(-300, 301)
STATES = np.arange(-128, 128)


def compare(op: Lif, threshold: int) -> int:
    """How many (state, accumulator) pairs were compared; all must agree."""
    acc, v = (grid.reshape(1, 1, -1) for grid in np.meshgrid(ACCS, STATES))
    z, membrane = step(op, acc, Membrane(v), Constants(np.array([[[threshold]]])))
    neurons = Neurons(op, torch.tensor([[[float(threshold)]]]), None, None)
    found_z, found = neurons.step(torch.from_numpy(acc).float(), State(torch.from_numpy(v).float(), torch.zeros(1)))
    assert np.array_equal(found_z.numpy(), z), op
    assert np.array_equal(found.v.numpy(), membrane.v), op
    return acc.size


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: f"{leak.kind}-{leak.rounding}")
def test_every_state_accumulator_reset_and_compare(leak: Leak) -> None:
    cases = 0
    for reset, order, timing in itertools.product(("subtract", "value", "none"), (">=", ">"), ("now", "next")):
        for at, snapped, overflow in itertools.product(("stored", "full"), ("before_fire", "after_reset"), ("saturate", "wrap")):
            if overflow == "wrap" and at == "full":
                continue
            op = Lif(
                name="n", inputs=("a",), state_bits=8, shift=1, leak=leak, reset=reset, reset_value=-5, compare=order, timing=timing,
                compare_at=at, snapped=snapped, overflow=overflow,
            )  # fmt: skip
            cases += compare(op, 60)
    for shift, rounding in itertools.product((0, 2), ("floor", "half_up", "half_even")):
        cases += compare(Lif(name="n", inputs=("a",), state_bits=8, shift=shift, rounding=rounding, leak=leak), 37)
    assert cases == 601 * 256 * (72 + 6)


def test_several_spikes_and_synapses_agree() -> None:
    compare(Lif(name="n", inputs=("a",), state_bits=8, max_spikes=31, leak=LEAKS[1]), 3)
    compare(Lif(name="n", inputs=("a",), state_bits=8, max_spikes=3, compare=">", leak=LEAKS[2]), 7)
    op = Lif(name="n", inputs=("a",), state_bits=8, synapse=Synapse(bits=8, leak=LEAKS[5]), leak=LEAKS[2])
    acc, current = (grid.reshape(1, 1, -1) for grid in np.meshgrid(ACCS, STATES))
    z, membrane = step(op, acc, Membrane(np.full_like(acc, 9), current), Constants(np.array([[[60]]])))
    neurons = Neurons(op, torch.tensor([[[60.0]]]), None, None)
    found_z, found = neurons.step(torch.from_numpy(acc).float(), State(torch.full(acc.shape, 9.0), torch.from_numpy(current).float()))
    assert np.array_equal(found_z.numpy(), z)
    assert np.array_equal(found.v.numpy(), membrane.v)
    assert np.array_equal(found.synaptic.numpy(), membrane.current)


def test_a_refractory_neuron_takes_no_current() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, refractory=3, leak=LEAKS[1])
    acc, v = (grid.reshape(1, 1, -1) for grid in np.meshgrid(ACCS, STATES))
    left = np.arange(acc.size).reshape(acc.shape) % 4
    z, membrane = step(op, acc, Membrane(v, None, left), Constants(np.array([[[60]]])))
    start = State(torch.from_numpy(v).float(), torch.zeros(1), torch.from_numpy(left).float())
    found_z, found = Neurons(op, torch.tensor([[[60.0]]]), None, None).step(torch.from_numpy(acc).float(), start)
    assert np.array_equal(found_z.numpy(), z)
    assert np.array_equal(found.v.numpy(), membrane.v)
    assert np.array_equal(found.left.numpy(), membrane.left)


def test_a_mutant_is_seen() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, shift=1, rounding="half_up")
    acc = np.arange(-9, 9).reshape(1, 1, -1)
    _, membrane = step(op, acc, Membrane(np.zeros_like(acc)), Constants(np.array([[[60]]])))
    wrong = Neurons(op.model_copy(update={"rounding": "half_even"}), torch.tensor([[[60.0]]]), None, None)
    found = wrong.step(torch.from_numpy(acc).float(), State(torch.zeros(1, 1, 18), torch.zeros(1)))[1]
    assert not np.array_equal(found.v.numpy(), membrane.v)
