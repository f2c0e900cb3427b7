"""NeuroBench's figures for the same network: effective and dense operations, activation sparsity."""

import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikequant.deploy import Program, Simulation
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.ledger import ledger
from spikequant.deploy.membranes import Neurons, State
from spikequant.deploy.operations import Conv2d, Dense, Flatten, Leak, Lif
from spikequant.deploy.program import Header, Source


@pytest.fixture(scope="module")
def neurobench() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("neurobench.models", exc_type=ImportError)
        return pytest.importorskip("neurobench.metrics.workload", exc_type=ImportError)


class Fires(nn.Module):
    """One layer of neurons, step by step."""

    def __init__(self, simulation: Simulation, op: Lif) -> None:
        super().__init__()
        threshold = simulation.tensor(f"{op.name}.threshold")
        assert threshold is not None
        self.op, self.threshold, self.simulation = op, threshold, simulation
        self.state: State | None = None

    def forward(self, x: Tensor) -> Tensor:
        neurons = Neurons(self.op, self.threshold.reshape(1, -1, *[1] * (x.ndim - 2)), None, None)
        z, self.state = neurons.step(x, neurons.rest(x) if self.state is None else self.state)
        return z


class Steps(nn.Module):
    """A chain of layers, run for every step of ``[batch, time, ...]``."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        total: Any = 0
        for step in x.transpose(0, 1):
            for layer in self.layers:
                step = layer(step)
            total = total + step
        return total


@pytest.fixture(params=[(0, 1), (-9, 9)], ids=["spikes", "numbers"])
def program(request: pytest.FixtureRequest) -> Program:
    """conv - lif - flatten - dense - lif on events, or on whole numbers."""
    low, high = request.param
    leak = Leak(kind="multiply_shift", multiplier=192, shift=8)
    operations = (
        Conv2d(name="conv", inputs=("input",), bits=3, channels=4, kernel=(3, 3), padding=(1, 1), bias=False),
        Lif(name="lif1", inputs=("conv",), state_bits=8, leak=leak),
        Flatten(name="flat", inputs=("lif1",)),
        Dense(name="dense", inputs=("flat",), bits=3, features=6, bias=False),
        Lif(name="lif2", inputs=("dense",), state_bits=8, leak=leak),
    )
    draw = np.random.default_rng(4)
    tensors = {
        "conv.weight": draw.integers(-2, 3, (4, 2, 3, 3)), "lif1.threshold": np.full(4, 6 * high),
        "dense.weight": draw.integers(-2, 3, (6, 100)), "lif2.threshold": np.full(6, 9),
    }  # fmt: skip
    return Program(
        Header(name="bench", time=6, source=Source(shape=(2, 5, 5), still=False, low=low, high=high), operations=operations), tensors
    )


def as_torch(program: Program) -> Steps:
    simulation = Simulation(program)
    conv, dense = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Linear(100, 6, bias=False)
    for layer, name in ((conv, "conv"), (dense, "dense")):
        layer.weight = nn.Parameter(torch.tensor(program.tensors[f"{name}.weight"]).float(), requires_grad=False)
    lif1, lif2 = (Fires(simulation, op) for op in program.header.operations if isinstance(op, Lif))
    return Steps([conv, lif1, nn.Flatten(), dense, lif2])


def test_operations_and_sparsity(neurobench: ModuleType, program: Program) -> None:
    from neurobench.models import TorchModel

    images = drawn(program, 5, 7)
    model = TorchModel(as_torch(program))
    model.add_activation_module(Fires)
    model.register_hooks()
    x = torch.from_numpy(images).float().transpose(0, 1)
    scores = model(x)
    assert np.array_equal(scores.numpy(), program.run(images))
    found = neurobench.SynapticOperations()(model, scores, (x, torch.zeros(5)))
    ours = ledger(program, images)
    conv, dense = ours.work["conv"], ours.work["dense"]
    assert found["Dense"] == conv.dense + dense.dense
    assert found["Effective_ACs"] == pytest.approx(dense.effective + (conv.effective if conv.unit else 0), rel=1e-12)
    assert found["Effective_MACs"] == pytest.approx(0 if conv.unit else conv.effective, rel=1e-12)
    assert neurobench.ActivationSparsity()(model, scores, (x,)) == pytest.approx(ours.sparsity, rel=1e-12)
    assert 0 < ours.sparsity < 1
