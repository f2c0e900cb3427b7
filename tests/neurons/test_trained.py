"""The neuron of Castagnetti et al. as a quantizer whose range is trained (exact test of our equations)."""

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import TrainedThreshold, tally, tap


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_constant_current_is_rounded_half_up_to_levels_of_the_threshold(steps: int) -> None:
    x = torch.arange(-8, 41) / 16  # from below 0 to beyond the threshold, ties among them
    neuron = TrainedThreshold(threshold=2.0)
    assert neuron.fires_at.item() == 2.0
    mean = neuron(x.reshape(1, 1, -1), steps).mean(0).flatten()
    assert torch.equal(mean, 2 / steps * torch.clamp(torch.floor(steps * x / 2 + 0.5), 0, steps))


def test_it_begins_at_half_a_threshold_while_spikes_freeze_too() -> None:
    neuron, current = TrainedThreshold(threshold=2.0), torch.ones(4, 1, 1)
    neuron.frozen = torch.ones(1, dtype=torch.bool)
    assert neuron(current).flatten().tolist() == [2.0, 0.0, 2.0, 0.0]


def test_spikes_are_worth_the_threshold_and_heard_as_one() -> None:
    network, heard = nn.Sequential(TrainedThreshold(threshold=0.7)), dict[str, Tensor]()
    current = torch.full((3, 2, 4), 0.4)
    with tap(network, lambda name, spikes: heard.update({name: spikes})):
        out = network(current)
    assert set(out.unique().tolist()) == {0.0, network[0].fires_at.item()}
    assert set(heard["0"].unique().tolist()) == {0.0, 1.0}
    counts = list[Tensor]()
    with tally(network, lambda name, count, *_: counts.append(count)), torch.no_grad():
        network(current)
    assert torch.equal(counts[0], heard["0"].sum(0))


def test_the_threshold_learns_from_what_its_spikes_are_worth() -> None:
    neuron = TrainedThreshold(threshold=1.0, start=0.0)
    out = neuron(torch.full((1, 1, 1), 5.0))
    (slope,) = torch.autograd.grad(out.sum(), neuron.raw)
    assert slope.item() > 0  # a spike that is certain is worth more with a higher threshold


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SpecError, match="from 0 to less than 1"):
        TrainedThreshold(start=1.0)
    with pytest.raises(MismatchError, match="is trained"):
        TrainedThreshold().quantize_constant("threshold", torch.tensor(1.0))


def test_evaluation_by_twins_is_what_training_sees() -> None:
    x = torch.randn(4, 2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).transpose(2, 4)
    neuron = TrainedThreshold(threshold=0.7)
    with torch.no_grad():
        assert torch.equal(neuron(x), neuron(x.requires_grad_()).detach())
    assert torch.equal(neuron(x).detach(), neuron.eval()(x.detach()).detach())
