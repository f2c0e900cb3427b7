"""Foreign neurons are known by name, without their libraries."""

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError
from spikequant.neurons import IF, LIF, enroll, guests, library, observable, rest, runs_steps, strangers, tally, tap


def test_known_by_name(foreign: ModuleType) -> None:
    class Own(foreign.Leaky):  # type: ignore[misc, name-defined]
        """A user's own neuron, built on the library's."""

    found = [foreign.Leaky(), Own(), foreign.IFNode(), foreign.LIFCell(), foreign.LICell(), LIF(decay=0.5), nn.ReLU()]
    assert [library(each) for each in found] == ["snntorch", "snntorch", "spikingjelly", "norse", None, None, None]


def test_only_the_library_itself_counts() -> None:
    class SpikingNeuron(nn.Module):
        """A user's class of that name."""

    assert library(SpikingNeuron()) is None


def test_neurons_that_are_not_known(foreign: ModuleType) -> None:
    """Not those within another, nor layers, nor what does not fire."""
    outer = foreign.PSN()
    outer.inner = foreign.PSN()
    known = [foreign.Leaky(), foreign.IFNode(), foreign.LIFCell(), foreign.LICell(), foreign.SynapseFilter(), foreign.NonSpikingBaseNode()]
    assert list(strangers(nn.Sequential(*known, LIF(decay=0.5), nn.ReLU(), outer))) == ["8"]
    assert not guests(outer)


@pytest.mark.parametrize("hear", [tap, tally])
def test_what_goes_unseen_is_refused(foreign: ModuleType, hear: Any) -> None:
    model = nn.Sequential(LIF(decay=0.5), foreign.PSN())
    told = "1: of spikingjelly's neurons those built on BaseNode or SimpleBaseNode are known, PSN is not; its spikes would go unseen"
    with pytest.raises(MismatchError, match=told), hear(model, lambda *heard: None):
        pass


def test_no_library_is_imported() -> None:
    code = """
import sys
import spikequant.models.adopt, spikequant.recipes, spikequant.behavior
print(sorted({"snntorch", "spikingjelly", "norse", "nir"} & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_order_of_definition_and_stand_ins(foreign: ModuleType) -> None:
    model = nn.Sequential(LIF(decay=0.5), foreign.IFNode(), nn.Sequential(foreign.Leaky()))
    model[1].stand_in = IF()
    assert list(guests(model)) == ["1", "2.0"]
    assert list(observable(model)) == ["0", "1", "2.0"]


def test_who_runs_steps(foreign: ModuleType) -> None:
    neurons = [foreign.Leaky(), foreign.LIFCell(), foreign.IFNode(), foreign.IFNode(step_mode="m")]
    assert [runs_steps(each) for each in neurons] == [True, True, True, False]


def test_rest_forgets(foreign: ModuleType) -> None:
    model = nn.Sequential(foreign.Leaky(), foreign.SynapseFilter(), foreign.IFNode())
    model(torch.full((2, 3), 0.75))
    assert model[0].mem.any()
    rest(model)
    assert not model[0].mem.any()
    assert model[1].current == 0.0
    assert model[2].v == 0.0


def test_a_copy_is_enrolled_once(foreign: ModuleType) -> None:
    neuron = foreign.Leaky()
    before = len(foreign.SpikingNeuron.instances)
    foreign.SpikingNeuron.instances.pop()
    enroll(nn.Sequential(neuron))
    enroll(nn.Sequential(neuron))
    assert len(foreign.SpikingNeuron.instances) == before
    assert foreign.SpikingNeuron.instances[-1] is neuron


def test_steps_are_heard_together_and_in_order(foreign: ModuleType) -> None:
    heard = []
    model = nn.Sequential(foreign.Leaky(), foreign.IFNode())
    with tap(model, lambda name, spikes: heard.append((name, spikes))):
        outputs = [model(torch.full((2, 3), 0.75 * step)) for step in range(4)]
    assert [(name, tuple(spikes.shape)) for name, spikes in heard] == [("0", (4, 2, 3)), ("1", (4, 2, 3))]
    assert heard[1][1].equal(torch.stack(outputs))


def test_what_is_done_to_spikes_afterwards_is_not_heard(foreign: ModuleType) -> None:
    heard, neuron = [], foreign.IFNode()
    with tap(neuron, lambda name, spikes: heard.append(spikes)):
        neuron(torch.ones(2, 3)).add_(7)
    assert heard[0].max() == 1


def test_steps_of_other_shapes_are_refused(foreign: ModuleType) -> None:
    shared = foreign.Leaky()
    model = nn.Sequential(shared, nn.Linear(3, 4), shared)
    with pytest.raises(MismatchError, match="give each layer its own neuron"), tap(model, lambda name, spikes: None):
        model(torch.ones(2, 3))
