"""SpikingJelly 2.0: LIFNode and IFNode, bit for bit."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.neurons import IF, LIF
from spikequant.numerics import Surrogate

TAUS = [2.0, 3.7, 20.0]
RESETS: list[float | None] = [0.0, -0.3, None]  # None subtracts the threshold


def reset_of(value: float | None) -> dict[str, Any]:
    return {"reset": "subtract"} if value is None else {"reset": "value", "reset_value": value}


def stepped(node: Any, current: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and membranes of a single-step node."""
    spikes, membranes = [], []
    for x in current:
        spikes.append(node(x))
        membranes.append(node.v)
    return torch.stack(spikes), torch.stack(membranes)


def ours(neuron: LIF, current: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes of one scan, and membranes of scans of one step each."""
    membranes, v = list[Tensor](), None
    for x in current:
        _, v = neuron.scan(x.unsqueeze(0), v)
        membranes.append(v)
    return neuron(current), torch.stack(membranes)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("tau", TAUS)
def test_lif_node(spikingjelly: ModuleType, current: Tensor, tau: float, decay_input: bool, reset: float | None, mode: str) -> None:
    node = spikingjelly.LIFNode(tau, decay_input, v_threshold=0.7, v_reset=reset, step_mode=mode, store_v_seq=mode == "m")
    current = current * (tau if decay_input else 1.0)
    theirs = stepped(node, current) if mode == "s" else (node(current), node.v_seq)
    neuron = LIF(tau=tau, charge="relax_input" if decay_input else "relax", threshold=0.7, **reset_of(reset))
    spikes, membranes = ours(neuron, current)
    assert spikes.equal(theirs[0])
    assert membranes.equal(theirs[1])
    assert 0.1 < spikes.mean() < 0.9


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("reset", RESETS)
def test_if_node(spikingjelly: ModuleType, current: Tensor, reset: float | None, mode: str) -> None:
    node = spikingjelly.IFNode(v_threshold=0.7, v_reset=reset, step_mode=mode, store_v_seq=mode == "m")
    theirs = stepped(node, current) if mode == "s" else (node(current), node.v_seq)
    spikes, membranes = ours(IF(threshold=0.7, **reset_of(reset)), current)
    assert spikes.equal(theirs[0])
    assert membranes.equal(theirs[1])
    assert 0.1 < spikes.mean() < 0.9


@pytest.mark.parametrize(("theirs", "surrogate"), [("ATan", Surrogate("arctan", 2.0)), ("Sigmoid", Surrogate("sigmoid", 4.0))])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", RESETS)
def test_gradients(spikingjelly: ModuleType, current: Tensor, reset: float | None, detach: bool, theirs: str, surrogate: Surrogate) -> None:
    from spikingjelly.activation_based import surrogate as curves

    curve = getattr(curves, theirs)(alpha=surrogate.slope)
    node = spikingjelly.LIFNode(2.0, v_reset=reset, surrogate_function=curve, detach_reset=detach, step_mode="m")
    neuron = LIF(tau=2.0, surrogate=surrogate, detach_reset=detach, **reset_of(reset))
    upstream = torch.randn(current.shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for layer in (node, neuron):
        own = (current * 2).requires_grad_()
        layer(own).backward(upstream)
        gradients.append(own.grad)
    assert torch.allclose(*gradients, rtol=1e-6, atol=1e-6)
    assert gradients[0].abs().mean() > 0.01


def test_detaching_the_reset_matters(spikingjelly: ModuleType, current: Tensor) -> None:
    gradients = []
    for detach in (True, False):
        own = current.clone().requires_grad_()
        LIF(tau=2.0, detach_reset=detach)(own).sum().backward()
        gradients.append(own.grad)
    assert not torch.allclose(*gradients, atol=1e-3)
