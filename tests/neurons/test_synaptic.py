"""Second-order and learned neurons: what the modules add to their scans."""

import copy

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import LIF, Alpha, ParametricLIF, SecondOrder, Synaptic, spiking
from spikequant.quantizers import Uniform

GRID = Uniform(bits=3, low=-3.0, high=4.0)  # whole numbers


def noisy(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) + 0.5


def neurons() -> list[SecondOrder]:
    torch.manual_seed(0)
    return [
        Synaptic(synapse=0.5, decay=0.75),
        Synaptic(synapse=torch.tensor([0.5, 0.25, 0.125]), form="rate", decay=0.75),
        Synaptic(recurrent=nn.Linear(3, 3), decay=0.75),
        Synaptic(synapse=0.5, recurrent=nn.Linear(3, 3), decay=0.75, reset="value", reset_timing="next_charged"),
        Alpha(decay=0.75, inhibitory=0.5, threshold=0.25, reset="value"),
    ]


@pytest.mark.parametrize("index", range(5))
def test_steps_one_by_one_are_the_scan(index: int) -> None:
    neuron, current = neurons()[index], noisy(12, 4, 3)
    spikes, last = neuron.scan(current)
    found, held = [], None
    for x in current:
        s, held = neuron.scan(x.unsqueeze(0), held)
        found.append(s)
    assert torch.cat(found).equal(spikes)
    assert held is not None
    assert all(a.equal(b) for a, b in zip(held, last, strict=True))
    assert 0.05 < spikes.mean() < 0.95
    assert neuron(current).equal(spikes)
    assert neuron(current[:1], steps=12).equal(neuron(current[:1].expand(12, -1, -1)))


@pytest.mark.parametrize("index", range(5))
def test_both_states_have_grids_of_their_own(index: int) -> None:
    neuron, current = neurons()[index], noisy(12, 4, 3) * 3
    float_spikes = neuron(current)
    neuron.state, neuron.synapse_state = GRID, Uniform(bits=4, low=-4.0, high=3.5)  # halves
    neuron.threshold.fill_(1.0)  # whole, so that a reset stays on the grid
    _, held = neuron.scan(current)
    assert held.v.frac().eq(0).all()
    assert neuron.stored_currents(current).shape[1:] == (4 * max(neuron.currents, 1), 3)
    if neuron.currents:
        assert held[1].mul(2).frac().eq(0).all()
    assert not neuron(current).equal(float_spikes)


@pytest.mark.parametrize("index", range(5))
def test_what_a_grid_should_cover_is_what_happens(index: int) -> None:
    """A grid that is fine and wide enough changes nothing that ``charged`` and ``stored_currents`` did not show."""
    neuron, current = neurons()[index], noisy(12, 4, 3)
    held, v, i = None, [], []
    far = copy.deepcopy(neuron)
    far.dynamics = far.dynamics._replace(reset="none")
    for x in current:
        _, before = (far if neuron.dynamics.reset_timing == "now" and neuron.currents < 2 else neuron).scan(x.unsqueeze(0), held)
        _, held = neuron.scan(x.unsqueeze(0), held)
        v.append(before.v)
        i.append(held[1] if neuron.currents < 2 else torch.cat(held[1:]))
    assert neuron.charged(current).equal(torch.stack(v))
    assert neuron.stored_currents(current).equal(torch.stack(i))


def test_recurrent_weights_belong_to_the_model_and_learn() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Synaptic(recurrent=nn.Linear(3, 3), decay=0.9))
    assert list(spiking(model)) == ["1"]
    model(4 * noisy(5, 2, 3)).sum().backward()
    gradient = model[1].recurrent.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_a_learned_time_constant_is_the_plain_one_until_it_learns() -> None:
    current = noisy(9, 2, 3) * 2
    for decay_input in (True, False):
        learned = ParametricLIF(tau=4.0, decay_input=decay_input, reset="value")
        plain = LIF(tau=4.0, charge="relax_input" if decay_input else "relax", reset="value")
        assert learned(current).equal(plain(current))  # sigmoid(-log 3) is 1/4 exactly, in float32
        learned(current).sum().backward()
        assert learned.w.grad is not None
        assert learned.w.grad != 0


def test_a_learned_rate_is_not_rounded_to_the_current() -> None:
    neuron = ParametricLIF(tau=3.0)
    assert neuron.broadcast(torch.ones(1, 1, 1, dtype=torch.bfloat16)).gain.equal(neuron.w.sigmoid())  # type: ignore[union-attr]


def test_refusals() -> None:
    with pytest.raises(SpecError, match="needs a synapse, or a recurrence"):
        Synaptic(decay=0.5)
    with pytest.raises(SpecError, match=r"unknown form 'decai'.*did you mean 'decay'"):
        Synaptic(synapse=0.5, form="decai", decay=0.5)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"decay must be above inhibitory, got 0.5 and 0.75"):
        Alpha(decay=0.5, inhibitory=0.75)
    with pytest.raises(SpecError, match=r"inhibitory must be in \[0, 1\], got -0.5; nearest valid value: 0"):
        Alpha(decay=0.5, inhibitory=-0.5)
    with pytest.raises(SpecError, match=r"synapse must be in \[0, 1\], got 1.5; nearest valid value: 1"):
        Synaptic(synapse=1.5, decay=0.5)
    with pytest.raises(SpecError, match="must start above 1 time step, got 1"):
        ParametricLIF(tau=1.0)
    with pytest.raises(SpecError, match="is learned"):
        ParametricLIF().quantize_constant("decay", torch.tensor(0.5))
    with pytest.raises(SpecError, match="has no decay to quantize"):
        LIF(decay=1.0, charge="rate", gain=0.5).quantize_constant("decay", torch.tensor(0.5))
    with pytest.raises(SpecError, match="the form 'rate' does not read sees, got 'stored'"):
        Synaptic(synapse=0.5, decay=0.5, form="rate", sees="stored")
    noise = Uniform(bits=3, low=-3.0, high=4.0, rounding="stochastic")
    with pytest.raises(SpecError, match="stochastic rounding is for LIF and IF"):
        Synaptic(synapse=0.5, decay=0.5, synapse_state=noise)(noisy(2, 2, 3))
    with pytest.raises(MismatchError, match="synapse is for 2 channels"):
        Synaptic(synapse=torch.tensor([0.5, 0.5]), decay=0.5)(noisy(2, 2, 3))
