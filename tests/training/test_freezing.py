"""The invariants of StoMPP."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from spikequant.deploy import lower
from spikequant.errors import Diverged, SpecError
from spikequant.models import Network, build
from spikequant.models.wiring import Wiring, chain
from spikequant.neurons import LIF
from spikequant.quantizers import Binary, TwoLevels
from spikequant.recipes import Recipe, quantize
from spikequant.training import Epoch, Freezing, Froze, Training, fit, train
from spikequant.training.freezing import Freezer

BINARY = Recipe(weights=Binary(), activations=Binary(scale="one"), first="float", last="float")
IMAGES = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCH = [(IMAGES, torch.arange(16) % 4)]


def plain(time: int = 1, neuron: tuple[str, dict] = ("activation", {"shape": "clip"})) -> Network:
    """A chain of four convolutions: no shortcut carries a gradient past a layer."""
    kind, args = neuron
    steps = [("encode", "encode", {"encoding": "direct"})]
    shape = {"kernel_size": 3, "padding": 1, "bias": False}
    for place, before in enumerate([3, 6, 6, 6]):
        steps.append((f"conv{place}", "conv2d", {"in_channels": before, "out_channels": 6, **shape}))
        steps.append((f"norm{place}", "batch_norm", {"channels": 6}))
        steps.append((f"act{place}", kind, args))
    steps += [
        ("pool", "average_pool", {"output_size": 1}),
        ("flatten", "flatten", {}),
        ("fc", "linear", {"in_features": 6, "out_features": 4}),
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(Wiring(name="plain", time=time, input_shape=(3, 8, 8), readout="mean", nodes=chain(*steps)))


def frozen_at(freezer: Freezer, step: int) -> None:
    with freezer.step(step):
        pass


def test_layers_are_weights_with_the_activation_that_follows_in_order() -> None:
    freezer = Freezer.of(quantize(plain(), BINARY), Freezing(), 100, 0)
    assert list(freezer.layers) == ["act0", "conv1", "conv2", "conv3"]
    assert [len(parts) for parts in freezer.layers.values()] == [1, 2, 2, 2]
    assert freezer.layers["conv1"][1].shape == (6, 8, 8)


def test_free_equals_the_hard_tanh_network_and_frozen_the_binary_one() -> None:
    network = quantize(plain(), BINARY).eval()
    binary = network(IMAGES)
    freezer = Freezer.of(network, Freezing(), 100, 0)
    clipped = copy.deepcopy(plain()).eval()
    torch.testing.assert_close(network(IMAGES), clipped(IMAGES))
    frozen_at(freezer, 100)
    assert set(freezer.shares().values()) == {1.0}
    assert torch.equal(network(IMAGES), binary)
    freezer.finish()
    assert torch.equal(network(IMAGES), binary)
    assert all("frozen" not in name for name in network.state_dict())


def test_frozen_activations_blockade_the_gradient_of_all_that_lies_before() -> None:
    network = quantize(plain(), BINARY).train()
    freezer = Freezer.of(network, Freezing(), 100, 0)
    network.get_submodule("act2").quantizer.frozen = torch.ones(6, 8, 8, dtype=torch.bool)  # type: ignore[union-attr]
    cross_entropy(network(IMAGES), BATCH[0][1]).backward()
    before = [parameter for name, parameter in network.named_parameters() if name[-1] != "3" and name.split(".")[0][-1] in "012"]
    assert len(before) == 9
    assert all(parameter.grad is None or parameter.grad.count_nonzero() == 0 for parameter in before)
    assert freezer.gradients()["conv3"] > 0 == freezer.gradients()["conv1"]


@pytest.mark.parametrize("neuron", [("activation", {"shape": "clip"}), ("lif", {"tau": 2.0, "threshold": 0.5, "reset": "subtract"})])
@pytest.mark.parametrize("last", ["float", "same"])
def test_no_backward_pass_behind_a_blockade_and_the_same_network(neuron, last, monkeypatch) -> None:
    recipe = Recipe(weights=Binary(), activations=None if neuron[0] == "lif" else Binary(scale="one"), first="float", last=last)
    freezing = Freezing(refresh=2, spikes=neuron[0] == "lif")
    training = Training(epochs=4, lr=0.05, optimizer="sgd", momentum=0.9, weight_decay=1e-3, freezing=freezing)
    short, whole = quantize(plain(2, neuron), recipe), quantize(plain(2, neuron), recipe)
    fit(short, BATCH * 5, training)
    for owner in (TwoLevels, LIF):
        monkeypatch.setattr(owner, "blocked", property(lambda _: False, lambda *_: None), raising=False)
    fit(whole, BATCH * 5, training)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, short.state_dict()[name]), name


def test_behind_a_blockade_nothing_asks_for_a_gradient() -> None:
    network = quantize(plain(), BINARY).train()
    freezer = Freezer.of(network, Freezing(), 100, 0)
    with freezer.step(60):
        values = {node.name: value for node, value in network.values(IMAGES)}
        assert not values["act1"].requires_grad
        assert values["act2"].requires_grad
        cross_entropy(network(IMAGES), BATCH[0][1]).backward()
        assert network.get_submodule("norm0").weight.grad is None
        freezer.fill(network)
        assert network.get_submodule("norm0").weight.grad.count_nonzero() == 0  # type: ignore[union-attr]
    assert freezer.gradients()["conv3"] > 0 == freezer.gradients()["conv1"]


def test_straight_through_opens_the_blockade() -> None:
    network = quantize(plain(), BINARY).train()
    freezer = Freezer.of(network, Freezing(straight_through=True), 100, 0)
    frozen_at(freezer, 100)
    cross_entropy(network(IMAGES), BATCH[0][1]).backward()
    assert freezer.gradients()["conv1"] > 0


def test_frozen_weights_stand_still_against_momentum() -> None:
    network = quantize(plain(), BINARY).train()
    freezer = Freezer.of(network, Freezing(refresh=1), 10_000, 0)
    latent = freezer.layers["conv1"][0].latent
    assert latent is not None
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for step in range(1, 6):
        optimizer.zero_grad()
        cross_entropy(network(IMAGES), BATCH[0][1]).backward()
        with freezer.step(step):
            optimizer.step()
    held = latent.detach().clone()
    for _ in range(100):
        with freezer.step(4_800):  # the second window is over; momentum still pushes
            optimizer.step()
    assert torch.equal(latent, held)
    free = freezer.layers["conv3"][0].latent
    assert free is not None
    assert not torch.equal(free, copy.deepcopy(plain()).conv3.weight)


@pytest.mark.parametrize(("order", "first"), [("forward", "act0"), ("reverse", "conv3")])
def test_orders(order: str, first: str) -> None:
    freezer = Freezer.of(quantize(plain(), BINARY), Freezing(order=order, refresh=1), 1000, 0)  # type: ignore[arg-type]
    frozen_at(freezer, 237)
    shares = freezer.shares()
    assert shares.pop(first) == 1.0
    assert set(shares.values()) == {0.0}


def test_global_freezes_all_layers_alike() -> None:
    freezer = Freezer.of(quantize(plain(), BINARY), Freezing(order="global", refresh=1), 1000, 0)
    frozen_at(freezer, 760)
    assert all(share == pytest.approx(0.512, abs=0.12) for share in freezer.shares().values())


def test_training_ends_as_an_ordinary_binary_network_and_tells_how_it_froze() -> None:
    network = quantize(plain(), BINARY)
    training = Training(epochs=12, lr=0.05, optimizer="sgd", momentum=0.9, schedule="constant", freezing=Freezing(refresh=1))
    froze = [event for event in train(network, BATCH * 4, training, validation=BATCH) if isinstance(event, Froze)]
    assert len(froze) == 12
    assert froze[0].shares["conv3"] == 0 < froze[-1].shares["conv3"] == 1
    assert froze[-1].hard_accuracy is not None
    assert froze[0].gradients["conv3"] > 0
    weight = network.get_submodule("conv2").weight
    assert isinstance(weight, torch.Tensor)
    assert all(channel.abs().unique().numel() == 1 for channel in weight.detach())


def test_an_interrupted_run_goes_on_with_its_masks(tmp_path) -> None:
    training = Training(epochs=4, lr=0.05, freezing=Freezing(refresh=2))
    whole, parted = quantize(plain(), BINARY), quantize(plain(), BINARY)
    fit(whole, BATCH * 5, training)
    events = train(parted, BATCH * 5, training, checkpoint=tmp_path / "c.safetensors")
    for event in events:
        if isinstance(event, Froze) and event.epoch == 2:
            break
    events.close()
    again = quantize(plain(), BINARY)
    fit(again, BATCH * 5, training, checkpoint=tmp_path / "c.safetensors")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("how", ["left", "diverged"])
def test_a_run_that_ends_early_leaves_no_graded_network(how: str) -> None:
    network = quantize(plain(), BINARY)
    broken = [(IMAGES * torch.nan, BATCH[0][1])] if how == "diverged" else BATCH
    with contextlib.suppress(Diverged):
        for event in train(network, BATCH + broken, Training(epochs=4, freezing=Freezing(refresh=2))):
            if isinstance(event, Epoch):
                break
    assert all(channel.abs().unique().numel() == 1 for channel in network.get_submodule("conv2").weight.detach())  # type: ignore[union-attr]


def test_spiking_neurons_freeze_from_grades_to_spikes() -> None:
    neuron = ("lif", {"tau": 2.0, "threshold": 0.5, "reset": "subtract"})
    network = quantize(plain(time=4, neuron=neuron), Recipe(weights=Binary(), first="float", last="float"))
    fit(network, BATCH * 3, Training(epochs=3, lr=1e-2, freezing=Freezing(spikes=True, refresh=1)))
    values = {node.name: value for node, value in network.values(IMAGES)}
    assert set(values["act2"].unique().tolist()) <= {0.0, 1.0}
    assert network.get_submodule("act2").frozen is None


def test_what_ends_the_training_is_deployed_with_two_codes_for_its_weights() -> None:
    images = [(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 10)]
    network = quantize(build("digits", width=4, time=2), Recipe(weights=Binary(), first="float", last="float"))
    fit(network, images * 3, Training(epochs=3, freezing=Freezing(spikes=True, refresh=1)))
    program = lower(network, calibration=images)
    assert np.unique(program.tensors["conv2.weight"]).tolist() == [0, 1]
    assert not [change for change in program.report["changed"] if change.startswith("conv2")]


def test_a_frozen_spiking_layer_is_a_blockade_too() -> None:
    neuron = ("lif", {"tau": 2.0, "threshold": 0.5, "reset": "subtract"})
    network = plain(time=3, neuron=neuron).train()
    Freezer.of(network, Freezing(spikes=True), 100, 0)
    network.get_submodule("act1").frozen = torch.ones(6, 8, 8, dtype=torch.bool)  # type: ignore[assignment]
    cross_entropy(network(IMAGES), BATCH[0][1]).backward()
    assert network.get_submodule("conv1").weight.grad.count_nonzero() == 0  # type: ignore[union-attr]
    assert network.get_submodule("conv2").weight.grad.count_nonzero() > 0  # type: ignore[union-attr]


def test_what_cannot_freeze_is_refused() -> None:
    with pytest.raises(SpecError, match="nothing can freeze"):
        Freezer.of(plain(), Freezing(), 10, 0)
    with pytest.raises(SpecError, match="spikes freeze neuron by neuron, and Sequential does not tell how many there are; adopt"):
        Freezer.of(nn.Sequential(nn.Linear(4, 4), LIF(decay=0.5)), Freezing(spikes=True), 10, 0)
    for kind, args in (("synaptic", {"synapse": 0.5, "decay": 0.5}), ("alpha", {"decay": 0.75, "inhibitory": 0.5})):
        with pytest.raises(SpecError, match=f"act0 is a {kind.title()}, whose spikes have no grades"):
            Freezer.of(plain(2, (kind, args)), Freezing(spikes=True), 10, 0)
    with pytest.raises(SpecError, match="a loader with a length"):
        Freezer.of(quantize(plain(), BINARY), Freezing(), None, 0)
    with pytest.raises(SpecError, match="patience would keep"):
        Training(epochs=1, freezing=Freezing(), patience=1)
    with pytest.raises(SpecError, match="give its range, or scale='one'"):
        quantize(plain(), Recipe(activations=Binary(scale="mean")))


def test_without_freezing_nothing_is_held() -> None:
    freezer = Freezer.of(nn.Linear(1, 1), None, None, 0)
    with freezer.step(1):
        pass
    assert freezer.layers == freezer.shares() == freezer.gradients() == {}


def test_straight_through_binary_weights_learn_within_one_whatever_their_scale() -> None:
    layer = quantize(nn.Sequential(nn.Linear(3, 1, bias=False)), Recipe(weights=Binary())).train()
    latent = layer[0].parametrizations.weight.original  # type: ignore[union-attr]
    latent.data = torch.tensor([[0.9, -0.1, 1.5]])
    layer(torch.ones(1, 3)).sum().backward()
    assert latent.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_digits_network_can_be_built_and_frozen() -> None:
    network = quantize(build("digits", width=4), Recipe(weights=Binary(), first="float", last="float"))
    assert list(Freezer.of(network, Freezing(spikes=True), 10, 0).layers) == ["lif1", "conv2"]
