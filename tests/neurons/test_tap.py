from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons import IF, LIF, Synaptic, spiking, tally, tap


def network() -> nn.Module:
    return nn.Sequential(IF(threshold=2.0), nn.Sequential(nn.Identity(), LIF(decay=0.5)))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_spiking_neurons_by_name() -> None:
    model = network()
    assert list(spiking(model)) == ["0", "1.1"]
    assert spiking(model)["1.1"] is model[1][1]  # type: ignore[index]
    assert list(spiking(IF())) == [""]
    assert spiking(nn.Linear(1, 1)) == {}


def test_hears_every_scan_once_and_in_order() -> None:
    model, heard = network(), list[tuple[str, list[float]]]()
    current = torch.tensor([1.0, 1.0, 2.0]).reshape(3, 1, 1)
    with tap(model, lambda name, spikes: heard.append((name, spikes.flatten().tolist()))):
        model(current)
        model(current[:1])
    model(current)
    # IF of threshold 2 fires at steps 2 and 3; the LIF behind it at once each time.
    assert heard == [("0", [0, 1, 1]), ("1.1", [0, 1, 1]), ("0", [0]), ("1.1", [0])]


def test_hands_over_the_spikes_themselves() -> None:
    heard: list[Tensor] = []
    model = IF()
    with tap(model, lambda name, spikes: heard.append(spikes)):
        spikes = model(torch.ones(2, 3, 4))
    assert heard[0] is spikes


def test_what_a_listener_returns_changes_nothing() -> None:
    model, current = network(), torch.ones(3, 2, 2)
    expected = model(current)
    with tap(model, lambda name, spikes: torch.zeros_like(spikes)):
        assert model(current).equal(expected)
    assert expected.any()


def test_a_neuron_used_twice_is_heard_twice() -> None:
    neuron, names = IF(), list[str]()
    with tap(nn.Sequential(neuron, neuron), lambda name, spikes: names.append(name)) as nothing:
        nn.Sequential(neuron, neuron)(torch.ones(1, 1, 1))
    assert (names, nothing) == (["0", "0"], None)


def test_guests_do_not_count(foreign: ModuleType) -> None:
    with (
        pytest.raises(MismatchError, match=r"layer '1' \(IFNode\) of another library .* use tap"),
        tally(nn.Sequential(IF(), foreign.IFNode()), print),
    ):
        pass


def test_taps_nest() -> None:
    model, outer, inner = network(), list[str](), list[str]()
    with tap(model, lambda name, spikes: outer.append(name)):
        with tap(model, lambda name, spikes: inner.append(name)):
            model(torch.ones(1, 1, 1))
        model(torch.ones(1, 1, 1))
    assert (outer, inner) == (["0", "1.1"] * 2, ["0", "1.1"])


def test_leaves_nothing_behind() -> None:
    model = network()
    with tap(model, print):
        assert hooks(model) == 2
    assert hooks(model) == 0


@pytest.mark.parametrize("where", ["model", "listener"])
def test_leaves_nothing_behind_after_an_error(where: str) -> None:
    def listener(name: str, spikes: Tensor) -> None:
        raise KeyError(where)

    model = network()
    with pytest.raises(MismatchError if where == "model" else KeyError), tap(model, listener):
        model(torch.ones(0, 1, 1) if where == "model" else torch.ones(1, 1, 1))
    assert hooks(model) == 0


def test_refuses_a_model_without_spiking_neurons() -> None:
    with pytest.raises(MismatchError, match="Linear holds no spiking neuron"), tap(nn.Linear(1, 1), print):
        pass


def test_tally_hears_counts_of_every_kind_of_neuron() -> None:
    model = nn.Sequential(IF(threshold=2.0), Synaptic(synapse=0.0, decay=0.0))
    heard: list[tuple[str, list[list[float]], int, int]] = []
    current = torch.tensor([1.0, 1.0, 2.0]).reshape(3, 1, 1)
    with tally(model, lambda name, counts, *sites: heard.append((name, counts.tolist(), *sites))):
        model(current)
    model(current)
    assert heard == [("0", [[2.0]], 3, 1), ("1", [[2.0]], 3, 1)]


def test_tally_sums_over_the_positions_of_a_channel() -> None:
    heard = list[object]()
    with tally(model := nn.Sequential(IF()), lambda name, counts, *sites: heard.append((counts.tolist(), *sites))):
        model(torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).reshape(1, 1, 2, 3).expand(2, 1, 2, 3))
    assert heard == [([[4.0, 2.0]], 2, 3)]


def test_tallies_nest() -> None:
    model, names = network(), list[str]()
    with tally(model, lambda name, *_: names.append(name)):
        with tally(model, lambda name, *_: names.append(f"{name} inner")):
            model(torch.ones(1, 1, 1))
        model(torch.ones(1, 1, 1))
    assert names == ["0", "0 inner", "1.1", "1.1 inner", "0", "1.1"]


def test_a_tally_leaves_nothing_behind_after_an_error() -> None:
    model = network()
    with pytest.raises(MismatchError), tally(model, print):
        model(torch.ones(0, 1, 1))
    assert not any(neuron.counters for neuron in spiking(model).values())


def test_tally_refuses_a_model_without_spiking_neurons() -> None:
    with pytest.raises(MismatchError, match="Linear holds no spiking neuron"), tally(nn.Linear(1, 1), print):
        pass
