import copy

import pytest
import torch

from spikequant.deploy import Program, lower
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, build
from spikequant.quantizers import LQNet
from spikequant.recipes import Recipe, quantize

BATCHES = [(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(8)) for seed in range(3)]


@pytest.fixture(scope="module")
def small() -> Network:
    return quantize(build("digits"), Recipe.integer(), BATCHES).eval()


def test_nothing_differs(small: Network) -> None:
    found = lower(small).check(small, BATCHES, batches=2)
    assert (found.exact, found.images) == (True, 16)
    assert found.program_accuracy == found.network_accuracy
    assert [(layer.spikes, layer.different) for layer in found.layers] == [(16 * 4 * 1024, 0), (16 * 4 * 512, 0)]


def test_accuracy_is_that_of_the_programs_own_choice(small: Network) -> None:
    """Of first spikes the earliest wins, not the latest."""
    program = lower(small)
    first = Program(program.header.model_copy(update={"readout": "first_spike"}), program.tensors)
    own = [(x, torch.from_numpy(first.predict(x.numpy()))) for x, _ in BATCHES]
    assert first.check(small, own).program_accuracy == 1


def test_the_first_divergence_is_named(small: Network) -> None:
    """A threshold one higher: the first neuron that differs is exactly at the old threshold, 1 below the new one."""
    program = lower(small)
    raised = program.tensors["lif1.threshold"].copy()
    raised[5] += 1
    found = Program(program.header, program.tensors | {"lif1.threshold": raised}).check(small, BATCHES)
    assert found.first is not None
    assert (found.first.layer, found.first.neuron[0], found.first.distance, found.first.spikes) == ("lif1", 5, -1, 0)
    assert "neuron (5," in str(found.first)
    assert "-1 from its threshold" in str(found.first)
    assert found.layers[0].different > 0
    assert found.layers[0].program_rates[5] < found.layers[0].network_rates[5]


def test_an_earlier_step_comes_before_an_earlier_layer(small: Network) -> None:
    program = lower(small)
    biases = {name: program.tensors[name] + 40 for name in ("conv2.bias",)}
    found = Program(program.header, program.tensors | biases).check(small, BATCHES)
    assert found.first is not None
    assert found.first.layer == "lif2"


def test_the_mode_of_the_network_is_kept(small: Network) -> None:
    """A layer that is frozen stays so in a network that trains."""
    small.train()
    small.get_submodule("conv1").eval()
    modes = [module.training for module in small.modules()]
    lower(small).check(small, BATCHES[:1])
    assert [module.training for module in small.modules()] == modes
    small.eval()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("weights", [LQNet(bits=2), None])
def test_a_network_on_a_gpu_is_lowered_and_checked_where_it_lies(small: Network, weights: LQNet | None) -> None:
    network = copy.deepcopy(small) if weights is None else quantize(build("digits"), Recipe(weights=weights), BATCHES).eval()
    here = lower(network, BATCHES)
    there = lower(network.cuda(), BATCHES)
    assert there.hash == here.hash or weights is not None
    assert there.check(network, BATCHES).exact or weights is not None
    assert {each.device.type for each in network.parameters()} == {"cuda"}


def test_other_networks_are_refused(small: Network) -> None:
    other = quantize(build("squat-fmnist", time=2), Recipe.integer(), [(torch.rand(2, 1, 28, 28), torch.zeros(2))])
    with pytest.raises(MismatchError, match="lif3"):
        lower(small).check(other, [(torch.rand(2, 1, 28, 28), torch.zeros(2, dtype=torch.long))])
    with pytest.raises(SpecError, match="no sample"):
        lower(small).check(small, [])
    with pytest.raises(SpecError, match="pairs \\(x, y\\), got a tensor"):
        lower(small).check(small, BATCHES[0][0])
