from types import ModuleType

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError, SpecError
from spikequant.models import build
from spikequant.neurons import LIF, Synaptic
from spikequant.quantizers import LSQ, Binary, FixedPoint, LQNet, Membrane, QSNNBinary, QSNNMembrane, QuantizerSpec, ReScaW, Uniform
from spikequant.recipes import Recipe, attach, quantize

NOISY = FixedPoint(integer=1, fraction=2, rounding="stochastic")


@pytest.mark.parametrize(
    ("name", "recipe", "match"),
    [
        ("digits", Recipe(constants=Uniform(bits=4, range="sample")), "lif1: the range of .* its threshold must have one that stands"),
        ("digits", Recipe(weights=QSNNMembrane(bits=4)), "conv1: the range of Q-SNN tanh .* its weights must have one that stands"),
        ("resnet8", Recipe(activations=Uniform(bits=4, range="sample")), "stem_act: the range of .* its activations must have one"),
        ("stdp-net", Recipe(state=QSNNMembrane(bits=4)), "excitatory: the range of Q-SNN tanh .* a Competing neuron takes one"),
        ("decolle", Recipe(state={"p": Uniform(bits=4, range="step_batch")}), "traces1: the range of .* a Traces neuron takes one"),
        ("decolle", Recipe(state={"r": Membrane(bits=4)}), "neurons1: .* is shown none here; take fit='calibrated'"),
    ],
)
def test_a_grid_that_follows_membranes_is_for_those_that_can(name: str, recipe: Recipe, match: str) -> None:
    with pytest.raises(SpecError, match=match):
        attach(build(name), recipe)


def test_noise_is_for_neurons_that_draw_it() -> None:
    quantize(nn.Sequential(nn.Linear(2, 2), LIF(decay=0.5)), Recipe(state=NOISY))
    with pytest.raises(SpecError, match=r"1: Q1\.2 rounds stochastically; the states of a Synaptic neuron are rounded to nearest"):
        quantize(nn.Sequential(nn.Linear(2, 2), Synaptic(synapse=0.5, decay=0.5)), Recipe(state=NOISY))


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (QSNNMembrane(bits=4), "1: the range of .* a Leaky neuron takes one that stands, or adopt the network"),
        (NOISY, "1: snnTorch names no noise"),
        (Membrane(bits=3), "1: .* is shown none here"),
    ],
)
def test_what_no_guest_of_snntorch_takes(foreign: ModuleType, spec: QuantizerSpec, match: str) -> None:
    with pytest.raises(SpecError, match=match):
        quantize(nn.Sequential(nn.Linear(2, 2), foreign.Leaky(0.5)), Recipe(state=spec))


@pytest.mark.parametrize("spec", [LQNet(bits=2), LSQ(bits=2, per_channel=True), Binary()])
def test_only_a_network_says_how_many_channels_a_membrane_has(foreign: ModuleType, spec: QuantizerSpec) -> None:
    loader = [(torch.rand(3, 2), torch.zeros(3))]
    for neuron in (foreign.Leaky(0.5), LIF(decay=0.5)):
        with pytest.raises(MismatchError, match=r"1: .* for 1 channels along axis 1, got .*: adopt it, or take one grid for all"):
            quantize(nn.Sequential(nn.Linear(2, 2), neuron), Recipe(state=spec), loader)


@pytest.mark.parametrize("spec", [QSNNBinary(), ReScaW(bits=3), Binary(), LQNet(bits=2), Uniform(bits=3)])
def test_a_layer_that_is_read_in_every_step_of_a_loop_trains(spec: QuantizerSpec) -> None:
    torch.manual_seed(0)
    small = quantize(nn.Sequential(nn.Linear(3, 2)), Recipe(weights=spec)).train()
    optimizer, x = torch.optim.SGD(small.parameters(), 0.1), torch.rand(4, 3)
    for _ in range(2):
        before = small[0].parametrizations.weight.original.clone()  # type: ignore[index, union-attr]
        optimizer.zero_grad()
        torch.stack([small(x).tanh() for _ in range(3)]).sum().backward()
        optimizer.step()
        assert not small[0].parametrizations.weight.original.equal(before)  # type: ignore[index, union-attr]
