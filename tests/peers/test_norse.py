"""Norse 1.1: the boxed LIF and the IAF, in a feed-forward step."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

from spikequant.neurons import IF, LIF
from spikequant.numerics import Surrogate

RESETS = {"value": "reset_value", "subtract": "reset_subtract"}


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("tau", [2.0, 8.0])  # powers of two: Norse multiplies by the inverse
def test_lif_box(norse: ModuleType, current: Tensor, tau: float, reset: str) -> None:
    box = norse.lif_box
    parameters = box.LIFBoxParameters(
        tau_mem_inv=torch.tensor(1 / tau),
        v_th=torch.tensor(0.7),
        reset_method=getattr(box, RESETS[reset], None) or getattr(norse.reset, RESETS[reset]),
    )
    state, spikes, membranes = box.LIFBoxFeedForwardState(torch.zeros_like(current[0])), [], []
    current = current * tau
    for x in current:
        s, state = box.lif_box_feed_forward_step(x, state, parameters, dt=1.0)
        spikes.append(s)
        membranes.append(state.v)
    neuron = LIF(tau=tau, threshold=0.7, reset=reset, compare=">")  # type: ignore[arg-type]
    found, v = [], None
    for x, membrane in zip(current, membranes, strict=True):
        s, v = neuron.scan(x.unsqueeze(0), v)
        found.append(s[0])
        assert v.equal(membrane)
    assert torch.stack(found).equal(torch.stack(spikes))
    assert 0.1 < torch.stack(found).mean() < 0.9


def test_iaf(norse: ModuleType, current: Tensor) -> None:
    """Spikes bit for bit, and the gradient of Norse's SuperSpike, which ignores its steepness."""
    parameters = norse.iaf.IAFParameters(v_th=torch.tensor(1.0))
    first, second = current.clone().requires_grad_(), current.clone().requires_grad_()
    state, spikes = norse.iaf.IAFFeedForwardState(torch.zeros_like(current[0])), []
    for x in first:
        s, state = norse.iaf.iaf_feed_forward_step(x, state, parameters)
        spikes.append(s)
    found, last = IF(reset="value", compare=">", surrogate=Surrogate("fast_sigmoid", 1.0), detach_reset=False).scan(second)
    assert found.equal(torch.stack(spikes))
    assert last.equal(state.v)
    torch.stack(spikes).sum().backward()
    found.sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(second.grad, first.grad, rtol=1e-5, atol=1e-5)
