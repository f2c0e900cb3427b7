import copy

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.neurons import LIF, Alpha, Competing, Synaptic, spiking
from spikequant.neurons.decolle import Refraining
from spikequant.numerics import levels
from spikequant.quantizers import LQNet, Membrane
from spikequant.quantizers.membrane import MembraneLevels
from spikequant.recipes import Recipe, load, quantize, save


def made(**given: object) -> MembraneLevels:
    quantizer = Membrane(**{"bits": 2, **given}).build((1, 3), 1)
    assert isinstance(quantizer, MembraneLevels)
    return quantizer


def test_calibration_moves_the_interior_alone() -> None:
    quantizer = made()
    quantizer.observe(torch.tensor([[-0.9, 0.1, 0.3], [0.35, 0.9, 3.0]]))
    quantizer.fit()
    assert quantizer.values.tolist() == [pytest.approx(-0.9), 0.0, pytest.approx(0.325), 1.0]


def test_following_takes_a_tenth_of_each_batch() -> None:
    quantizer = made()
    quantizer.follow(torch.tensor([[0.4, 0.4, -1.0]]))
    assert quantizer.values.tolist() == [pytest.approx(-0.55), 0.0, pytest.approx(0.49), 1.0]


def test_calibrated_levels_stand_and_free_levels_lose_rest_and_threshold() -> None:
    standing, free = made(fit="calibrated"), made(anchors=False, average=0.0)
    for quantizer in (standing, free):
        quantizer.follow(torch.tensor([[0.1, 0.6, 2.0]]))
    assert standing.values.tolist() == [-0.5, 0.0, 0.5, 1.0]
    assert free.values.tolist() == [-0.5, pytest.approx(0.1), pytest.approx(0.6), 2.0]


def test_membranes_that_are_not_finite_are_refused() -> None:
    for act in (made().follow, made().observe):
        with pytest.raises(SpecError, match="membrane levels"):
            act(torch.tensor([[torch.inf, 0.0, 0.0]]))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, 1, 8, 8, generator=generator), torch.arange(8)


def test_a_network_in_training_moves_its_levels_after_the_scan_and_gradients_are_those_of_before() -> None:
    network = quantize(build("digits"), Recipe(state=Membrane(bits=2)), [batch()])
    twin = quantize(build("digits"), Recipe(state=Membrane(bits=2, fit="calibrated")), [batch()])
    for each in (network, twin):
        each.train()(batch()[0]).sum().backward()
    one, other = (spiking(each)["lif1"].state for each in (network, twin))
    assert isinstance(one, MembraneLevels)
    assert isinstance(other, MembraneLevels)
    assert not torch.equal(one.values, other.values)
    assert torch.equal(one.values[one.held], torch.tensor([0.0, 1.0]))
    pairs = zip(network.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs if a.grad is not None and b.grad is not None)


def test_evaluation_moves_nothing_and_a_saved_network_keeps_its_levels(tmp_path: object) -> None:
    network = quantize(build("digits"), Recipe(state=Membrane(bits=3)), [batch()])
    network.train()(batch()[0])
    before = network.eval()(batch()[0])
    save(network, f"{tmp_path}/net")
    again = load(f"{tmp_path}/net").eval()
    assert torch.equal(again(batch()[0]), before)
    assert torch.equal(spiking(again)["lif2"].state.values, spiking(network)["lif2"].state.values)


def test_the_levels_follow_what_the_grid_itself_makes_of_the_membranes() -> None:
    quantizer = made(average=0.0)
    neuron = LIF(decay=0.5, state=quantizer).train()
    neuron(torch.tensor([0.4, 0.4]).reshape(2, 1, 1).expand(2, 1, 3))  # 0.4 is held as 0.5, then 0.25 + 0.4 = 0.65
    assert quantizer.values[2].item() == pytest.approx(0.525)


FOLLOWED = [
    Synaptic(synapse=0.0, decay=0.5),  # without a memory of its own in the synapse: the LIF above
    Synaptic(synapse=0.5, decay=0.5, sees="stored"),
    Alpha(decay=0.75, inhibitory=0.5),
    Refraining(threshold=0.5),
    Competing(neurons=3, rest=0.0, reset=0.0, threshold=1.0, inhibition=0.25),
]


@pytest.mark.parametrize("index", range(len(FOLLOWED)))
def test_the_levels_follow_neurons_with_a_scan_of_their_own(index: int) -> None:
    neuron, current = copy.deepcopy(FOLLOWED[index]), torch.linspace(-0.6, 0.9, 18).reshape(6, 1, 3)
    if not index:
        current = torch.full((2, 1, 3), 0.4)
    neuron.state = quantizer = made(average=0.0)
    expected = copy.deepcopy(quantizer)
    expected.follow(neuron.eval().charged(current, on_grid=True))
    neuron(current)
    assert torch.equal(quantizer.values, made().values)
    neuron.train()(current)
    assert not torch.equal(quantizer.values, made().values)
    assert torch.equal(quantizer.values, expected.values)
    assert index or quantizer.values[2].item() == pytest.approx(0.525)


def test_plain_lqnet_on_membranes_is_singular_loses_a_code_and_the_threshold() -> None:
    """Membranes of one code leave the normal equations without full rank: two levels fall together, and none is held at 1."""
    neuron = LIF(decay=0.5, state=LQNet(bits=2, ridge=0.0).build((1, 1), 1)).train()
    for _ in range(3):
        neuron(torch.full((2, 4, 1), 0.6))
    found = levels(neuron.state.grid()).flatten()
    assert found.unique().numel() == 3
    assert (found - 1).abs().min() > 0.2
