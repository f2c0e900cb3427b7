import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import Refraining, Traces, tap, tracing
from spikequant.numerics import refractory_scan, trace_scan
from spikequant.quantizers import FixedPoint


def drawn(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_modules_run_the_scans() -> None:
    x = (drawn(6, 2, 3) < 0.4).float()
    traces = Traces()
    assert torch.equal(traces(x), trace_scan(x, traces.alpha, traces.beta)[0])
    assert torch.equal(traces.stored("q", x), trace_scan(x, traces.alpha, traces.beta)[1])
    neurons, current = Refraining(), drawn(6, 2, 3) - 0.4
    spikes, u, r = refractory_scan(current, neurons.settings)
    assert torch.equal(neurons(current), spikes)
    assert torch.equal(neurons.charged(current), u)
    assert torch.equal(neurons.stored("r", current), r)


def test_every_state_has_its_grid() -> None:
    x = (drawn(8, 2, 3) < 0.4).float()
    traces = Traces()
    traces.p_state, traces.q_state = (FixedPoint(integer=1, fraction=each) for each in (10, 5))
    assert torch.equal(traces(x) * 2**10, (traces(x) * 2**10).round())
    coarse = Traces()
    coarse.q_state = FixedPoint(integer=1, fraction=3)  # (1 - beta) = 0.08 is next to 1/8
    assert torch.equal(coarse(x[:2])[1], (1 - coarse.alpha) * 0.125 * x[0])
    neurons = Refraining()
    neurons.state, neurons.r_state = FixedPoint(integer=2, fraction=4), FixedPoint(integer=1, fraction=2)
    current = torch.tensor([0.03, 1.0, 0.3]).reshape(3, 1, 1)
    assert Refraining()(current).flatten().tolist() == [1.0, 1.0, 0.0]
    assert neurons(current).flatten().tolist() == [0.0, 1.0, 1.0]  # 0.03 rounds to 0; R rounds from -0.35 to -1/4, and 0.05 to 1/16


def test_firing_is_heard_and_traces_are_found() -> None:
    model, heard = torch.nn.Sequential(Traces(), Refraining()), []
    with tap(model, lambda name, spikes: heard.append((name, float(spikes.sum())))):
        model(torch.ones(5, 1, 2))
    assert heard[0][0] == "1"
    assert heard[0][1] > 0
    assert list(tracing(model)) == ["0"]


def test_refusals() -> None:
    with pytest.raises(SpecError, match=r"alpha must lie in \[0, 1\), got 1.0"):
        Traces(alpha=1.0)
    with pytest.raises(SpecError, match="did you mean 'plain'"):
        Refraining(scaling="plian")  # type: ignore[arg-type]
    with pytest.raises(MismatchError, match="begins from rest"):
        Refraining().scan(torch.ones(1, 1, 1), start=torch.ones(1, 1))
