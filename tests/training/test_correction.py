from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spikequant.behavior import record
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, Node, Wiring
from spikequant.models.wiring import INPUT
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, load, quantize, save
from spikequant.training import Correction, correct_rates

LOADER = [(torch.rand(64, 1, 2, 2, generator=torch.Generator().manual_seed(seed)), torch.zeros(64)) for seed in range(2)]


def small(channels: int = 3, seed: int = 0) -> Network:
    """Two layers of neurons behind linear layers with biases; fires a good deal without training."""
    nodes = (
        Node(name="encode", kind="encode", inputs=(INPUT,), args={"encoding": "direct"}),
        Node(name="flat", kind="flatten", inputs=("encode",)),
        Node(name="first", kind="linear", inputs=("flat",), args={"in_features": 4, "out_features": channels}),
        Node(name="lif1", kind="lif", inputs=("first",), args={"decay": 0.5}),
        Node(name="second", kind="linear", inputs=("lif1",), args={"in_features": channels, "out_features": 2}),
        Node(name="lif2", kind="lif", inputs=("second",), args={"decay": 0.5}),
        Node(name="readout", kind="linear", inputs=("lif2",), args={"in_features": 2, "out_features": 2}),
    )
    torch.manual_seed(seed)
    network = Network(Wiring(name="small", time=4, input_shape=(1, 2, 2), readout="mean", nodes=nodes)).eval()
    with torch.no_grad():
        for name in ("first", "second"):
            network.get_submodule(name).weight.uniform_(0.2, 0.7)  # type: ignore[union-attr, operator]
    return network


def rewired(network: Network, change: Callable[[Node], Node]) -> Network:
    return Network(network.wiring.model_copy(update={"nodes": tuple(map(change, network.wiring.nodes))}))


def harder_to_drive() -> Network:
    network = small()
    with torch.no_grad():
        network.get_submodule("first").bias -= torch.tensor([0.3, 0.0, -0.1])  # type: ignore[operator]
    return network


@pytest.mark.parametrize("part", ["bias", "threshold"])
def test_a_shift_that_was_put_in_is_taken_out(part: str) -> None:
    reference, network = small(), harder_to_drive()
    wanted, before = record(reference, LOADER), record(network, LOADER)
    correct_rates(network, reference, LOADER, Correction.read({"part": part}))
    assert wanted.emd(before) > 0.05
    assert wanted.emd(record(network, LOADER)) < 0.005
    if part == "bias":
        biases = [each.get_submodule("first").bias for each in (network, reference)]
        torch.testing.assert_close(*biases, atol=0.02, rtol=0)


def test_each_channel_of_a_quantized_network_comes_near_its_own_rate() -> None:
    reference = small()
    network = quantize(reference, Recipe(weights=Uniform(bits=2, low=-1.0, high=1.0)), LOADER)
    wanted, before = record(reference, LOADER), record(network, LOADER)
    correct_rates(network, reference, LOADER)
    after = record(network, LOADER)
    for ours, plain, theirs in zip(after.layers, before.layers, wanted.layers, strict=True):
        assert abs(ours.rates - theirs.rates).max() < 0.03 < abs(plain.rates - theirs.rates).max()


def test_a_network_that_fires_as_wanted_stays_as_it_is() -> None:
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    correct_rates(network, small(), LOADER)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_thresholds_of_channels_are_saved_with_the_network(tmp_path: Path) -> None:
    network = harder_to_drive()
    correct_rates(network, small(), LOADER, Correction(part="threshold"))
    save(network, tmp_path)
    again = load(tmp_path)
    assert torch.equal(again(LOADER[0][0]), network(LOADER[0][0]))
    assert again.get_submodule("lif1").threshold.shape == (3,)


def test_thresholds_on_a_grid_are_not_moved() -> None:
    network = quantize(small(), Recipe(state=Uniform(bits=2, low=0.0, high=1.0)), LOADER)
    with pytest.raises(SpecError, match="would leave the grid of the membrane; take part='bias'"):
        correct_rates(network, small(), LOADER, Correction(part="threshold"))


def test_trained_thresholds_are_not_moved() -> None:
    network = rewired(
        small(), lambda node: node.model_copy(update={"kind": "trained_threshold", "args": {}}) if node.kind == "lif" else node
    )
    with pytest.raises(SpecError, match="lif1: its threshold is trained; take part='bias'"):
        correct_rates(network, network, LOADER, Correction(part="threshold"))


def test_other_layers_or_channels_are_refused() -> None:
    with pytest.raises(MismatchError, match="layer 'lif1' has 3 channels, that of the float network 4"):
        correct_rates(small(), small(channels=4), LOADER)


def test_integer_networks_are_refused() -> None:
    network = quantize(small(), Recipe.integer(weight_bits=4, state_bits=8), LOADER)
    with pytest.raises(SpecError, match="computes in integers"):
        correct_rates(network, small(), LOADER)


def test_a_bias_that_feeds_two_neurons_is_not_moved() -> None:
    network = rewired(small(channels=2), lambda node: node.model_copy(update={"inputs": ("first",)}) if node.name == "lif2" else node)
    with pytest.raises(SpecError, match="lif2: the bias before it feeds 'lif1' too"):
        correct_rates(network, network, LOADER)
