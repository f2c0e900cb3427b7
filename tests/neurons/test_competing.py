import math

import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import Competing, spiking
from spikequant.quantizers import FixedPoint

CURRENT = torch.rand(30, 2, 3, generator=torch.Generator().manual_seed(0)) * 12


def test_constants_are_bindsnets() -> None:
    c = Competing(neurons=3).settings
    assert (c.rest, c.reset, c.threshold, c.refractory) == (-65.0, -65.0, -52.0, 5)
    assert (c.decay, c.theta_decay) == (pytest.approx(math.exp(-0.01)), pytest.approx(math.exp(-1e-7)))
    assert c.theta_plus == pytest.approx(0.05)
    assert c.conductance is None
    assert Competing(neurons=3, tau_ms=50.0).settings.decay == pytest.approx(math.exp(-0.02))
    opened = Competing(neurons=3, reading="conductance", tau_ms=50.0).settings.conductance
    assert opened is not None
    assert opened.leak == 0.02


def test_thresholds_adapt_one_by_one() -> None:
    layer = Competing(neurons=3, inhibition=0.0, single=False)
    before = layer(CURRENT).sum((0, 1))
    layer.adapted.copy_(torch.tensor([0.0, 40.0, 1e4]))
    after = layer(CURRENT).sum((0, 1))
    assert after[0] == before[0]
    assert 0 < after[1] < before[1]
    assert after[2] == 0


def test_state_and_threshold_are_held_on_their_grids() -> None:
    layer = Competing(neurons=3)
    layer.adapted.copy_(torch.tensor([0.2, 0.4, 0.6]))
    layer.threshold_state = FixedPoint(integer=11, fraction=1, rounding="truncate").build((1, 3))
    assert layer.bound().tolist() == [-52.0, -52.0, -51.5]
    layer.state = FixedPoint(integer=11, fraction=0).build((1, 3))
    _, v = layer.scan(CURRENT)
    assert torch.equal(v, v.round())


def test_charged_membranes_are_those_before_rounding_and_reset() -> None:
    layer = Competing(neurons=3)
    seen = layer.charged(CURRENT)
    assert seen.shape == CURRENT.shape
    assert seen.max() > -52
    assert torch.equal(seen[0], torch.full((2, 3), -65.0) + CURRENT[0])


def test_is_seen_by_the_tap() -> None:
    assert list(spiking(torch.nn.Sequential(Competing(neurons=1)))) == ["0"]


def test_refuses_what_it_cannot_run() -> None:
    with pytest.raises(MismatchError, match=r"must be \[time, batch, 4\], got \[30, 2, 3\]"):
        Competing(neurons=4)(CURRENT)
    with pytest.raises(MismatchError, match="always begin from rest"):
        Competing(neurons=3).scan(CURRENT, torch.zeros(2, 3))
    with pytest.raises(SpecError, match=r"unknown reading 'curent'.*did you mean 'current'"):
        Competing(neurons=3, reading="curent")
    with pytest.raises(SpecError, match=r"unknown argument 'tau'.*did you mean 'tau_ms'"):
        Competing(neurons=3, tau=2.0)
    for tau in (0.0, -5.0):
        with pytest.raises(SpecError, match=f"tau_ms must be above 0 ms, got {tau}"):
            Competing(neurons=3, tau_ms=tau)
    layer = Competing(neurons=3)
    layer.state = FixedPoint(integer=7, fraction=2, rounding="stochastic")
    with pytest.raises(SpecError, match="draws no noise"):
        layer(CURRENT)
