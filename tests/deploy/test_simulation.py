"""The torch module equals the interpreter: every 8-bit state, accumulator, leak, reset and compare."""

import itertools

import numpy as np
import pytest
import torch

from spikequant.deploy import Program, Simulation
from spikequant.deploy.arithmetic import Constants, Membrane, step
from spikequant.deploy.machine import encode, moments
from spikequant.deploy.operations import Leak, Lif, Synapse
from spikequant.deploy.simulation import Neurons

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
    found_z, found_v, _ = neurons.step(torch.from_numpy(acc).float(), torch.from_numpy(v).float(), torch.zeros(1))
    assert np.array_equal(found_z.numpy(), z), op
    assert np.array_equal(found_v.numpy(), membrane.v), op
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
    found = neurons.step(torch.from_numpy(acc).float(), torch.full(acc.shape, 9.0), torch.from_numpy(current).float())
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(found, (z, membrane.v, membrane.current), strict=True))


def test_a_mutant_is_seen() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8, shift=1, rounding="half_up")
    acc = np.arange(-9, 9).reshape(1, 1, -1)
    _, membrane = step(op, acc, Membrane(np.zeros_like(acc)), Constants(np.array([[[60]]])))
    wrong = Neurons(op.model_copy(update={"rounding": "half_even"}), torch.tensor([[[60.0]]]), None, None)
    assert not np.array_equal(wrong.step(torch.from_numpy(acc).float(), torch.zeros(1, 1, 18), torch.zeros(1))[1].numpy(), membrane.v)


def test_every_value_of_a_network(residual: Program) -> None:
    codes = encode(residual, np.random.default_rng(0).uniform(-1, 1, (6, 1, 8, 8)).astype(np.float32))
    simulation = Simulation(residual)
    assert simulation.dtype is torch.float32
    values = dict(simulation.values(torch.from_numpy(codes)))
    for t, moment in enumerate(moments(residual, codes)):
        for name, value in values.items():
            assert np.array_equal(value[min(t, len(value) - 1)].numpy(), moment.values[name]), (t, name)
    assert np.array_equal(simulation(torch.from_numpy(codes)).numpy(), residual.run(codes))


def test_wide_sums_take_float64(residual: Program) -> None:
    wide = residual.header.operations[1].model_copy(update={"state_bits": 16, "shift": 6})
    operations = (residual.header.operations[0], wide, *residual.header.operations[2:])
    header = residual.header.model_copy(update={"operations": operations})
    program = Program(header, residual.tensors)
    codes = encode(program, np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8)).astype(np.float32))
    simulation = Simulation(program)
    assert simulation.dtype is torch.float64
    assert np.array_equal(simulation(torch.from_numpy(codes)).numpy(), program.run(codes))


@pytest.mark.parametrize("rule", ["last", "first_spike"])
def test_readouts_agree(residual: Program, rule: str) -> None:
    program = Program(residual.header.model_copy(update={"readout": rule}), residual.tensors)
    codes = encode(program, np.random.default_rng(4).uniform(-1, 1, (9, 1, 8, 8)).astype(np.float32))
    assert np.array_equal(Simulation(program)(torch.from_numpy(codes)).numpy(), program.run(codes))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same(residual: Program) -> None:
    codes = encode(residual, np.random.default_rng(0).uniform(-1, 1, (6, 1, 8, 8)).astype(np.float32))
    simulation = Simulation(residual).cuda()
    assert np.array_equal(simulation(torch.from_numpy(codes).cuda()).cpu().numpy(), residual.run(codes))
