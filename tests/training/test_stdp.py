import pytest
import torch

from spikequant.data import Batches, hold_out, load
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, build
from spikequant.quantizers import FixedPoint, Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training import Stdp, learn, respond
from spikequant.training.stdp import parts


def network(seed: int = 0) -> Network:
    return build("stdp-net", seed=seed, inputs=64, neurons=30, time=60, rate_hz=250.0, inhibition=60.0)


@pytest.fixture(scope="module")
def digits() -> Batches:
    _, few = hold_out(load("digits").train, 0.2, 0)
    return Batches(few, 50, load("digits").scale)


def trained(model: Network, loader: Batches, **options: object) -> Network:
    shown = list(learn(model, loader, Stdp(**options)))
    assert shown[-1].images == shown[-1].total_images == len(loader.split.y) * shown[-1].epoch
    return model


def test_learning_changes_weights_and_thresholds_repeatably(digits: Batches) -> None:
    start, first, second = network(), trained(network(), digits), trained(network(), digits)
    assert not torch.equal(start.synapses.weight, first.synapses.weight)
    assert torch.equal(first.synapses.weight, second.synapses.weight)
    assert torch.equal(first.excitatory.adapted, second.excitatory.adapted)
    assert first.excitatory.adapted.max() > 0.05
    total = first.synapses.weight.sum(1)
    assert total.tolist() == pytest.approx([6.4] * 30, rel=1e-4)
    assert not torch.equal(first.synapses.weight, trained(network(), digits, seed=1).synapses.weight)


def test_batches_only_cut_the_reports(digits: Batches) -> None:
    whole = trained(network(), Batches(digits.split, 1000, digits.scale))
    assert torch.equal(whole.synapses.weight, trained(network(), digits).synapses.weight)


@pytest.mark.parametrize("holding", ["on_change", "every_step", "in_place"])
def test_grids_hold_while_learning(digits: Batches, holding: str) -> None:
    fixed = FixedPoint(integer=1, fraction=5, rounding="stochastic")
    recipe = Recipe(weights=fixed, state={"threshold": FixedPoint(integer=11, fraction=4)})
    small = trained(quantize(network(), recipe), digits, holding=holding)
    used = small.synapses.weight * 32
    assert torch.equal(used, used.round())
    shadow = small.synapses.parametrizations.weight.original * 32
    assert torch.equal(shadow, shadow.round()) == (holding == "in_place")
    assert torch.equal(small.excitatory.adapted * 16, (small.excitatory.adapted * 16).round()) == (holding == "in_place")


def test_responses_of_networks_forward_and_of_events_agree_where_nothing_is_drawn() -> None:
    model = network()
    model.synapses.weight.data.mul_(512).round_().div_(64)
    model.encode.scale, model.excitatory.competition = 1.0, model.excitatory.competition._replace(single=False, decay=0.5)
    images = (torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    by_events = respond(model, images)
    spikes = {node.name: value for node, value in model.values(images)}["excitatory"]
    assert by_events.sum() > 20
    assert torch.equal(spikes.sum(0).int(), by_events)


def test_images_of_other_places_draw_other_spikes(digits: Batches) -> None:
    x = digits.split.x[:5] / 16
    assert torch.equal(respond(network(), x), respond(network(), x))
    assert not torch.equal(respond(network(), x), respond(network(), x, first=5))


def test_refuses_what_it_cannot_train(digits: Batches) -> None:
    with pytest.raises(MismatchError, match="STDP trains networks like stdp-net, of one competing layer; digits has encode, conv2d"):
        parts(build("digits"))
    uniform = quantize(network(), Recipe(weights=Uniform(bits=4, low=0.0, high=1.0)))
    with pytest.raises(SpecError, match="STDP takes fixed-point grids for weights, membrane and threshold, got uniform"):
        list(learn(uniform, digits, Stdp()))
    with pytest.raises(SpecError, match="the loader gave no image in epoch 1"):
        list(learn(network(), [], Stdp()))
