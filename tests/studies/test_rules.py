import copy
import itertools

import pytest
import torch
from torch import Tensor

from spikequant.data import Batches
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, build
from spikequant.quantizers import FixedPoint
from spikequant.recipes import Recipe, Space, quantize
from spikequant.studies import Loaders, explore
from spikequant.studies.rules import Rule, own_rule, taught
from spikequant.training import Decolle, Stdp, Training, assign, judged, learn, learn_locally

FIXED = FixedPoint(integer=1, fraction=5)
LOCAL = Decolle(epochs=2, burn_in=1, settling=0)


@pytest.fixture
def competing() -> Network:
    return build("stdp-net", inputs=64, neurons=20, time=40, rate_hz=250.0, inhibition=60.0)


@pytest.fixture
def local() -> Network:
    return build("decolle", shape=[2, 12, 12], channels=[2, 3, 3], time=6, classes=3)


@pytest.fixture
def few(digits_loaders: Loaders) -> Batches:
    return Batches(digits_loaders.validation.split, 100, 16.0)  # type: ignore[attr-defined]


def frames() -> list[tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    return [((torch.rand(6, 4, 2, 12, 12, generator=drawn) < 0.3).float(), torch.tensor([0, 1, 2, 0])) for _ in range(2)]


def same(one: Network, other: Network) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_neurons_that_compete_learn_by_stdp_and_are_labelled(competing: Network, few: Batches) -> None:
    ours, theirs = (quantize(competing, Recipe(weights=FIXED)) for _ in range(2))
    steps = [event.step for event in taught(ours, few, Stdp(epochs=2))]  # type: ignore[union-attr]
    assert steps == [*range(1, 2 * len(few) + 1)]
    list(learn(theirs, few, Stdp(epochs=2)))
    assign(theirs, few)
    assert same(ours, theirs)
    assert not same(ours, quantize(competing, Recipe(weights=FIXED)))


def test_layers_with_losses_of_their_own_learn_by_these(local: Network) -> None:
    ours, theirs = copy.deepcopy(local), copy.deepcopy(local)
    list(taught(ours, frames(), LOCAL))
    list(learn_locally(theirs, frames(), LOCAL))
    assert same(ours, theirs)
    assert not same(ours, local)


def test_a_search_trains_candidates_by_the_rule_it_is_given(competing: Network, few: Batches) -> None:
    list(taught(competing, few, Stdp()))
    found = explore(competing, Space(schemes=("itq",), weights=(FIXED,)), (few, few), max_drop=1.0, training=Stdp(seed=1))
    assert found.training == Stdp(seed=1)
    assert type(found).from_dict(found.to_dict()) == found
    trained = quantize(competing, Recipe(weights=FIXED))
    list(taught(trained, few, Stdp(seed=1)))
    right = torch.cat(list(judged(trained, few)))
    assert found.evaluated[0].measures.accuracy == float(right.sum()) / len(right)


def test_every_network_has_a_rule_of_its_own(competing: Network, local: Network) -> None:
    assert own_rule(competing, 2, 0.1, seed=3) == Stdp(epochs=2, seed=3)
    assert own_rule(local, 2, 0.1, seed=3) == Decolle(epochs=2, lr=0.1, seed=3, settling=0, burn_in=1)
    assert own_rule(build("digits"), 2, 0.1, seed=3) == Training(epochs=2, lr=0.1, seed=3, start="float")
    for network, bad in itertools.product((competing, local), ({"epochs": 0}, {"lr": -1.0})):
        with pytest.raises(SpecError, match="must be greater than"):
            own_rule(network, **({"epochs": 1, "lr": 0.1, "seed": 0} | bad))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "rule", "complaint"),
    [
        ("stdp-net", Training(epochs=1), r"stdp-net learns by STDP, not by gradients; pass spikequant.training.Stdp, not Training"),
        ("digits", Stdp(), "STDP trains networks like stdp-net, of one competing layer; digits has"),
        ("digits", Decolle(), "local learning takes layers of traces, conv2d, refraining, then linear; digits has"),
    ],
)
def test_a_rule_of_another_network_is_refused_before_the_search(name: str, rule: Rule, complaint: str) -> None:
    with pytest.raises((SpecError, MismatchError), match=complaint):
        explore(build(name), Space(schemes=("itq", "ptq"), weights=(FIXED,)), ([], []), training=rule)
