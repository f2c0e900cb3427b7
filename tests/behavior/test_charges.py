from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from spikequant.behavior import extremes, level_health, state_health
from spikequant.behavior.charges import charges, show
from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import LIF, Synaptic
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize

LOADER = [(torch.full((4, 2, 3), 0.5), torch.zeros(2))]
GRID = Uniform(bits=2, low=-1.0, high=1.0)


def through_extremes(model: nn.Module) -> None:
    with extremes(model):
        model(LOADER[0][0])


@pytest.mark.parametrize(("on_grid", "reached"), [(False, [0.8, 1.6]), (True, [0.8, 1.8])])
def test_membranes_are_those_of_the_float_way_or_of_the_grid(on_grid: bool, reached: list[float]) -> None:
    """0.8 is held as 1."""
    seen = list[torch.Tensor]()
    model = nn.Sequential(LIF(decay=1.0, threshold=9.0, state=Uniform(bits=2, low=0.0, high=3.0)))
    with charges(model, {"0": seen.append}, on_grid) as ran:
        model(torch.full((2, 1, 1), 0.8))
    assert ran == {"0"}
    assert seen[0].flatten().tolist() == pytest.approx(reached)
    assert not model[0]._forward_pre_hooks


def test_steps_that_are_named_are_seen() -> None:
    neuron = LIF(decay=1.0, threshold=9.0)
    with extremes(nn.Sequential(neuron)) as seen:
        neuron(torch.full((1, 1, 1), 0.5), steps=4)
    assert seen == {"0": (0.5, 2.0)}


def test_neurons_with_synaptic_currents_are_watched_on_the_float_way() -> None:
    model = nn.Sequential(Synaptic(synapse=0.5, decay=0.5, state=GRID))
    assert level_health(model, LOADER)[0].unused < 1
    assert state_health(model, LOADER)[0].use is not None


@pytest.mark.parametrize("doctor", [through_extremes, lambda model: level_health(model, LOADER), lambda model: state_health(model, LOADER)])
def test_what_stands_in_for_a_guest_is_refused(foreign: ModuleType, doctor: Callable[[nn.Module], object]) -> None:
    model = quantize(nn.Sequential(nn.Linear(3, 3), foreign.IFNode(step_mode="m")), Recipe(state=GRID), LOADER)
    with pytest.raises(MismatchError, match="1 stands in for a guest and cannot be watched; adopt the network"):
        doctor(model)


def test_a_neuron_that_never_ran_has_no_health() -> None:
    model = nn.ModuleDict({"used": LIF(decay=0.5), "unused": LIF(decay=0.5)})
    model.forward = lambda x: model["used"](x)  # type: ignore[method-assign]
    with pytest.raises(MismatchError, match="layer 'unused' saw nothing"):
        show(model, {"used": lambda v: None, "unused": lambda v: None}, LOADER)


def test_no_batch_is_no_use() -> None:
    with pytest.raises(SpecError, match="the loader gave no batch"):
        state_health(nn.Sequential(LIF(decay=0.5)), [])
