import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import build, stdp_net


def test_weights_into_every_neuron_sum_to_the_same() -> None:
    weight = stdp_net().synapses.weight
    assert weight.shape == (400, 784)
    assert weight.sum(1).tolist() == pytest.approx([78.4] * 400, rel=1e-5)
    assert weight.min() >= 0


def test_encoding_reaches_128_hz() -> None:
    network = stdp_net()
    spikes = network.encode(torch.ones(20, 1, 28, 28), 250)
    assert spikes.mean().item() == pytest.approx(0.128, abs=1e-3)


def test_votes_are_means_over_the_neurons_of_a_class() -> None:
    network = stdp_net(inputs=4, neurons=4, classes=3)
    network.vote.labels.copy_(torch.tensor([0, 0, 2, -1]))
    assert network.vote(torch.tensor([[1.0, 0.0, 1.0, 1.0]])).tolist() == [[0.5, 0.0, 1.0]]


def test_other_sizes_and_readings() -> None:
    assert stdp_net(inputs=20).wiring.input_shape == (20,)
    assert stdp_net(inputs=64).wiring.input_shape == (1, 8, 8)
    assert stdp_net(reading="conductance").excitatory.competition.conductance is not None
    with pytest.raises(SpecError, match="unknown reading 'ampere'"):
        build("stdp-net", reading="ampere")
