"""The torch module equals the interpreter."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from spikequant.deploy import Program, Simulation
from spikequant.deploy.machine import encode, moments
from spikequant.errors import MismatchError


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


def test_sums_over_time_take_float64_where_a_step_does_not(summing: Callable[[int, int], Program]) -> None:
    """99 steps of 260 097 are an odd number above 2^24, which float32 does not hold."""
    program, codes = summing(8, 99), np.ones((1, 8), np.int64)
    scores = Simulation(program)(torch.from_numpy(codes))
    assert (Simulation(program).dtype, scores.dtype) == (torch.float32, torch.float64)
    assert scores.tolist() == program.run(codes).tolist() == [[99 * 260_097, 0]]


@pytest.mark.parametrize("rule", ["last", "first_spike"])
def test_readouts_agree(residual: Program, rule: str) -> None:
    program = Program(residual.header.model_copy(update={"readout": rule}), residual.tensors)
    codes = encode(program, np.random.default_rng(4).uniform(-1, 1, (9, 1, 8, 8)).astype(np.float32))
    assert np.array_equal(Simulation(program)(torch.from_numpy(codes)).numpy(), program.run(codes))


def test_autocast_changes_nothing(residual: Program) -> None:
    """Thresholds of 9 bits and more: bfloat16 keeps 8."""
    heavy = residual.tensors | {"conv2.basis": np.array([[301, 703], [205, 509]])}
    program = Program(residual.header, heavy)
    codes = encode(program, np.random.default_rng(4).uniform(-1, 1, (9, 1, 8, 8)).astype(np.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = dict(Simulation(program).values(torch.from_numpy(codes)))
    for t, moment in enumerate(moments(program, codes)):
        for name, value in values.items():
            assert np.array_equal(value[min(t, len(value) - 1)].numpy(), moment.values[name]), (t, name)


@pytest.mark.parametrize("shape", [(3, 2, 1, 3, 3), (7, 2, 1, 3, 3), (6, 2, 1, 3, 4), (6, 1, 3, 3)])
def test_other_shapes_are_refused(competing: Program, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match="competing takes"):
        Simulation(competing)(torch.zeros(shape))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same(residual: Program) -> None:
    codes = encode(residual, np.random.default_rng(0).uniform(-1, 1, (6, 1, 8, 8)).astype(np.float32))
    simulation = Simulation(residual).cuda()
    assert np.array_equal(simulation(torch.from_numpy(codes).cuda()).cpu().numpy(), residual.run(codes))
