import json
from pathlib import Path

import pytest

from spikequant.errors import FormatError, SpecError, SpikequantError
from spikequant.models import Network
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Space
from spikequant.studies import Exploration, Judged, Loaders, Options, Priced, explore, exploring
from spikequant.studies.explorer import FILE
from spikequant.training import Training

SPACE = Space(
    weights=("float", LQNet(bits=4), LQNet(bits=2)), state=("float", *(Uniform(bits=bits, low=-2.0, high=2.0) for bits in (8, 4, 2)))
)


def levels(found: Exploration) -> list[tuple[int, ...]]:
    return [each.levels for each in found.evaluated]


@pytest.fixture(scope="module")
def everything(digits_network: Network, digits_loaders: Loaders) -> Exploration:
    return explore(digits_network, SPACE, digits_loaders, strategy="every", max_drop=0.02)


def test_every_candidate_is_judged_and_the_finest_passes(everything: Exploration) -> None:
    assert len(everything.evaluated) == 12
    assert everything.evaluated[0].passed
    assert {each.note for each in everything.evaluated} >= {None, "hopeless"}


@pytest.mark.parametrize("strategy", ["halving", "published"])
def test_a_strategy_finds_the_same_best_with_fewer_evaluations(
    everything: Exploration, strategy: str, digits_network: Network, digits_loaders: Loaders
) -> None:
    found = explore(digits_network, SPACE, digits_loaders, strategy=strategy, max_drop=0.02)
    assert found.best() == everything.best()
    assert len(found.evaluated) < len(everything.evaluated)
    shared = {each.levels: each.measures for each in everything.evaluated}
    assert all(each.measures == shared[each.levels] for each in found.evaluated)


def test_sensitivity_finds_mixed_precision_per_layer(digits_network: Network, digits_loaders: Loaders) -> None:
    choices = ("float", LQNet(bits=4), LQNet(bits=2))
    space = Space(layers={layer: {"weights": choices} for layer in ("conv1", "conv2", "readout")})  # type: ignore[misc]
    found = explore(digits_network, space, digits_loaders, strategy="sensitivity", max_drop=0.05)
    assert len(found.evaluated) < 27
    mixed = [each for each in found.evaluated if each.passed and len({level for level in each.levels if level}) > 0]
    assert min(each.measures.memory_bits for each in mixed) < found.baseline.memory_bits / 2  # the states stay float
    assert set(found.best().overrides) == {"conv1", "conv2", "readout"}


def test_states_are_perturbed_one_at_a_time_too(digits_network: Network, digits_loaders: Loaders) -> None:
    states = ("float", Uniform(bits=4, low=-2.0, high=2.0), Uniform(bits=2, low=-2.0, high=2.0))
    space = Space(layers={"conv1": {"weights": ("float", LQNet(bits=2))}, "lif1": {"state": states}, "lif2": {"state": states}})  # type: ignore[dict-item]
    found = explore(digits_network, space, digits_loaders, strategy="sensitivity", max_drop=0.05)
    assert [axis.name for axis in space.axes] == ["conv1.weights", "lif1.state", "lif2.state"]
    assert levels(found)[:6] == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 2, 0), (0, 0, 1), (0, 0, 2)]
    assert any(sum(level > 0 for level in each.levels) > 1 for each in found.evaluated)


def test_a_diverging_candidate_fails_alone(digits_network: Network, digits_loaders: Loaders) -> None:
    space = Space(schemes=("itq", "ptq"), weights=(LQNet(bits=4), LQNet(bits=2)))
    wild = Training(epochs=1, lr=1000.0, optimizer="sgd", weight_decay=1e30, start="float")
    found = explore(digits_network, space, digits_loaders, strategy="every", max_drop=1.0, training=wild)
    assert [(each.scheme, each.note) for each in found.evaluated] == [("itq", "diverged")] * 2 + [("ptq", None)] * 2
    assert not found.evaluated[0].passed
    assert {each.scheme for each in found.front()} == {"ptq"}


def test_where_every_candidate_is_stopped_early_the_answer_still_says_how_near_it_came(
    digits_network: Network, digits_loaders: Loaders
) -> None:
    space = Space(weights=tuple(Uniform(bits=bits, low=-10.0, high=10.0) for bits in (3, 2)))
    found = explore(digits_network, space, digits_loaders)
    assert {each.note for each in found.evaluated} == {"hopeless"}
    nearest = max(found.evaluated, key=lambda each: each.measures.accuracy)
    told = f"stopped at an accuracy of {nearest.measures.accuracy:.4f} on the first {nearest.measures.samples} of {found.baseline.samples}"
    with pytest.raises(SpecError, match=told):
        found.best()


def test_a_sampler_keeps_its_budget(digits_network: Network, digits_loaders: Loaders) -> None:
    found = explore(digits_network, SPACE, digits_loaders, strategy="tpe", budget=5, max_drop=1.0)
    assert len(found.evaluated) <= 5


def test_the_price_comes_first_and_the_exploration_last(digits_network: Network, digits_loaders: Loaders) -> None:
    events = list(exploring(digits_network, SPACE, digits_loaders, Options(strategy="every", budget=2), None, 2, None))
    assert isinstance(events[0], Priced)
    assert events[0].evaluations == 2
    assert events[0].seconds["ptq"] > 0
    assert [type(event) for event in events[1:]] == [Judged, Judged, Exploration]


def test_an_interrupted_search_goes_on_where_it_was(
    everything: Exploration, digits_network: Network, digits_loaders: Loaders, tmp_path: Path
) -> None:
    options = Options(strategy="every", max_drop=0.02)
    events = exploring(digits_network, SPACE, digits_loaders, options, None, 20, tmp_path)
    for event in events:
        if isinstance(event, Judged) and len(event.so_far.evaluated) == 5:
            break
    events.close()
    again = list(exploring(digits_network, SPACE, digits_loaders, options, None, 20, tmp_path))
    assert [event.remembered for event in again if isinstance(event, Judged)] == [True] * 5 + [False] * 7
    found = again[-1]
    assert isinstance(found, Exploration)
    assert [(each.levels, each.measures) for each in found.evaluated] == [(each.levels, each.measures) for each in everything.evaluated]


def test_the_folder_of_another_search_is_refused_and_left_alone(digits_network: Network, digits_loaders: Loaders, tmp_path: Path) -> None:
    explore(digits_network, SPACE, digits_loaders, strategy="every", budget=1, folder=tmp_path)
    held = (tmp_path / FILE).read_bytes()
    with pytest.raises(SpikequantError, match=r"holds another search: max_drop was 0.01; choose another folder"):
        explore(digits_network, SPACE, digits_loaders, strategy="every", budget=1, max_drop=0.5, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes() == held
    with pytest.raises(SpikequantError, match=r"holds another search: batches was 20; choose another folder"):
        explore(digits_network, SPACE, digits_loaders, strategy="every", budget=1, batches=1, folder=tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"version": 2}))
    with pytest.raises(FormatError, match="make it again with explore"):
        explore(digits_network, SPACE, digits_loaders, strategy="every", budget=1, folder=tmp_path)


def test_candidates_of_another_training_are_not_remembered(digits_network: Network, digits_loaders: Loaders, tmp_path: Path) -> None:
    space = Space(schemes=("itq",), weights=(LQNet(bits=4),))
    first, longer = (Training(epochs=epochs, lr=1e-3, start="float") for epochs in (1, 2))
    explore(digits_network, space, digits_loaders, max_drop=1.0, training=first, folder=tmp_path)
    with pytest.raises(SpikequantError, match=r"holds another search: training was Training\(.*epochs=1.*; choose another folder"):
        explore(digits_network, space, digits_loaders, max_drop=1.0, training=longer, folder=tmp_path)
    old = json.loads((tmp_path / FILE).read_text())
    del old["training"]
    (tmp_path / FILE).write_text(json.dumps(old))
    with pytest.raises(SpikequantError, match="training was None"):
        explore(digits_network, space, digits_loaders, max_drop=1.0, training=first, folder=tmp_path)


def test_a_bound_on_behavior_decides_too(everything: Exploration, digits_network: Network, digits_loaders: Loaders) -> None:
    floor = min(each.measures.emd for each in everything.finished if each.levels[0] > 0 and each.measures.emd is not None)
    found = explore(digits_network, SPACE, digits_loaders, strategy="every", max_drop=0.02, max_emd=floor / 2)
    assert found.best().weights is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_drop": 2.0}, "max_drop 2.0 must be a fraction"),
        ({"max_emd": -0.1}, "max_emd -0.1 must lie in"),
        ({"budget": 0}, "at least 1 evaluation"),
        ({"objectives": ("speed",)}, "unknown objective 'speed'"),
        ({"strategy": "grid"}, "unknown strategy 'grid'"),
    ],
)
def test_bad_options_are_refused(digits_network: Network, digits_loaders: Loaders, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        explore(digits_network, SPACE, digits_loaders, **options)  # type: ignore[arg-type]


def test_one_loader_is_no_pair(digits_network: Network, digits_loaders: Loaders) -> None:
    with pytest.raises(SpecError, match=r"loaders must be two, \(train, validation\), and are 1"):
        explore(digits_network, SPACE, (digits_loaders.train,))
