import contextlib
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from spikequant.models import Network, Prefixes, build
from spikequant.neurons import LIF, tally, tap
from spikequant.quantizers import FixedPoint, Uniform
from spikequant.recipes import Override, Recipe, quantize

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SHALLOW, DEEP = "conv1", "conv2"


def weights(layer: str, bits: int) -> Recipe:
    return Recipe(overrides={layer: Override(weights=Uniform(bits=bits))})


@pytest.fixture(scope="module")
def network() -> Network:
    built = build("digits", seed=0, width=4)
    with torch.no_grad():
        built.train()(IMAGES)
    return built.eval()


def counted(network: Network, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    heard: dict[str, Tensor] = {}
    with torch.no_grad(), tally(network, lambda name, counts, *_: heard.__setitem__(name, counts.clone())):
        return network(x), heard


def assert_same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]]) -> None:
    assert torch.equal(one[0], other[0])
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(counts, other[1][name]) for name, counts in one[1].items())


def test_outputs_and_counts_are_those_without(network: Network) -> None:
    prefixes = Prefixes()
    for layer in (SHALLOW, DEEP):
        for bits in (8, 3, 2, 3):
            candidate = quantize(network, weights(layer, bits)).eval()
            for x in (IMAGES, IMAGES[:3]):
                alone = counted(candidate, x)
                for _ in range(2):
                    with prefixes.shared(candidate):
                        assert_same(counted(candidate, x), alone)
                assert alone[0].any()


def test_only_what_differs_runs(network: Network) -> None:
    prefixes, work = Prefixes(), dict[str, int]()
    for name, recipe in {
        "first": weights(DEEP, 4),
        "same": weights(DEEP, 4),
        "deep": weights(DEEP, 2),
        "shallow": weights(SHALLOW, 2),
    }.items():
        candidate = quantize(network, recipe).eval()
        before = prefixes.computed
        with prefixes.shared(candidate):
            counted(candidate, IMAGES)
        work[name] = prefixes.computed - before
    assert work["same"] == 0
    assert 0 < work["deep"] < work["first"]
    assert work["shallow"] >= work["deep"]


def test_who_hears_inputs_hears_them_though_no_layer_runs_for_it(network: Network) -> None:
    prefixes, candidate = Prefixes(), quantize(network, weights(DEEP, 4)).eval()
    layers = [candidate.get_submodule(node.name) for node in candidate.wiring.nodes if node.kind in ("conv2d", "linear")]
    heard: list[list[Tensor]] = []
    for is_shared in (False, True):
        inputs = list[Tensor]()
        with prefixes.shared(candidate):
            counted(candidate, IMAGES)
        before = prefixes.computed
        handles = [layer.register_forward_pre_hook(lambda _, given, to=inputs: to.append(given[0])) for layer in layers]
        with prefixes.shared(candidate) if is_shared else contextlib.nullcontext():
            output = counted(candidate, IMAGES)
        assert output[0].any()
        assert prefixes.computed == before
        heard.append(inputs)
        for handle in handles:
            handle.remove()
    assert len(heard[0]) == len(layers) > 2
    assert all(torch.equal(one, other) for one, other in zip(*heard, strict=True))


@pytest.mark.parametrize("change", ["weight", "threshold", "moment", "state", "time", "snapped", "dynamics"])
def test_whatever_changes_a_value_changes_its_key(network: Network, change: str) -> None:
    prefixes, other = Prefixes(), cast(Any, quantize(network, Recipe()).eval())
    with prefixes.shared(network), torch.no_grad():
        network(IMAGES)
    neuron = other.lif1
    changes = {
        "weight": lambda: other.conv1.weight.data.mul_(3),
        "threshold": lambda: neuron.threshold.mul_(0.5),
        "moment": lambda: other.norm1.running_mean.add_(1),
        "state": lambda: setattr(neuron, "state", Uniform(bits=2, low=-0.6, high=0.6)),
        "time": lambda: setattr(other, "wiring", other.wiring.model_copy(update={"time": 9})),
        "snapped": lambda: setattr(neuron, "snapped", "after_reset"),
        "dynamics": lambda: setattr(neuron, "dynamics", neuron.dynamics._replace(tau=3.0)),
    }
    changes[change]()
    alone, before = counted(other, IMAGES), prefixes.computed
    with prefixes.shared(other):
        assert_same(counted(other, IMAGES), alone)
    assert prefixes.computed > before


def test_what_rounds_stochastically_is_never_shared(network: Network) -> None:
    recipe = Recipe(overrides={DEEP: Override(weights=FixedPoint(integer=1, fraction=3, rounding="stochastic"))})
    prefixes, candidate = Prefixes(), quantize(network, recipe).eval()
    ran = []
    for _ in range(2):
        before = prefixes.computed
        with prefixes.shared(candidate):
            counted(candidate, IMAGES)
        ran.append(prefixes.computed - before)
    assert 0 < ran[1] < ran[0]


def test_memory_is_bounded_and_evicted_values_are_computed_again(network: Network) -> None:
    whole, small = Prefixes(), Prefixes(limit=4000)
    for bits in (8, 4, 3, 2, 8, 4):
        candidate = quantize(network, weights(DEEP, bits)).eval()
        alone = counted(candidate, IMAGES)
        for prefixes in (whole, small):
            with prefixes.shared(candidate):
                assert_same(counted(candidate, IMAGES), alone)
    assert small.held <= 4000 < whole.held
    assert small.computed > whole.computed


def test_values_kept_uncounted_do_not_silence_a_counter(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_fused in (True, False):
        if not is_fused:
            monkeypatch.setattr("spikequant.models.network.fused", lambda *_: None)
        alone, prefixes = counted(network, IMAGES), Prefixes()
        with prefixes.shared(network), torch.no_grad():
            network(IMAGES)
            assert_same(counted(network, IMAGES), alone)


def test_listeners_to_spikes_hear_them(network: Network) -> None:
    prefixes = Prefixes()
    names = [name for name, module in network.named_modules() if isinstance(module, LIF)]
    with prefixes.shared(network), torch.no_grad():
        network(IMAGES)
        heard: list[str] = []
        with tap(network, lambda name, _: heard.append(name)):
            network(IMAGES)
    assert heard == names


def test_training_and_gradients_take_the_plain_way() -> None:
    network, prefixes = build("digits", seed=0, width=4).eval(), Prefixes()
    with prefixes.shared(network):
        gradients = torch.autograd.grad(network(IMAGES).sum(), list(network.parameters()))
        network.train()(IMAGES)
    assert any(gradient.any() for gradient in gradients)
    network.eval()
    assert (prefixes.computed, network.through) == (0, None)
    with contextlib.suppress(KeyError), prefixes.shared(network):
        raise KeyError
    assert network.through is None
