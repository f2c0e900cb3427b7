"""Foreign neurons as nodes; beside the real ones in ``tests/peers/test_adopt.py``."""

from types import ModuleType

import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models.adopt.neurons import neuron


def test_snntorch(foreign: ModuleType) -> None:
    found = neuron("here", foreign.Leaky(0.75, 2.0), None)
    shared = {"threshold": 2.0, "reset": "subtract", "compare": ">", "surrogate": "arctan", "slope": 2.0}
    assert (found.kind, found.args) == ("lif", {**shared, "decay": 0.75, "reset_timing": "next"})
    at_once = neuron("here", foreign.Leaky(1.5, reset_delay=False), None).args
    assert (at_once["reset_timing"], at_once["detach_reset"]) == ("now_once", False)
    assert neuron("here", foreign.Leaky(1.5), None).args["decay"] == 1.0  # snnTorch clamps its decay in every step
    assert neuron("here", foreign.Leaky(alpha=5.0), None).args["slope"] == 5.0
    assert neuron("here", foreign.Leaky(threshold=[1.0, 2.0]), None).args["threshold"] == [1.0, 2.0]


def test_spikingjelly(foreign: ModuleType) -> None:
    shared = {"threshold": 1.0, "detach_reset": False, "surrogate": "arctan", "slope": 2.0, "decay": 1.0}
    assert neuron("here", foreign.IFNode(), None).args == {**shared, "reset": "subtract"}
    assert neuron("here", foreign.IFNode(v_reset=-0.5), None).args == {**shared, "reset": "value", "reset_value": -0.5}


def test_norse(foreign: ModuleType) -> None:
    args = neuron("here", foreign.LIFCell(v_leak=0.25), None).args
    assert (args["gain"], args["synapse"], args["rest"], args["form"]) == (0.25, pytest.approx(0.2), 0.25, "rate")


def test_refuses(foreign: ModuleType) -> None:
    class Leaky(foreign.Leaky):  # type: ignore[misc, name-defined]
        """A user's own, of the same name: it may do anything."""

    unknown = foreign.IFNode(surrogate_function=nn.ReLU())
    graded = foreign.IFNode(surrogate_function=type("ATan", (), {"alpha": 2.0, "spiking": False})())
    for module, reason in [
        (Leaky(), r"here \(Leaky\) cannot be adopted: of snntorch"),
        (foreign.Leaky(inhibition=True), "only the neuron with the highest membrane"),
        (foreign.Leaky(graded_spikes_factor=torch.tensor(0.5)), "its spikes are worth 0.5"),
        (foreign.Leaky(state_quant=abs), "its state is quantized already"),
        (foreign.LIFCell(method="logistic"), "'logistic' has no equal here"),
        (foreign.LIFCell(tau_mem_inv=[100.0, 200.0]), "tau_mem_inv.*differs from channel to channel"),
        (unknown, "ReLU has no equal here"),
        (graded, r"here \(spiking=False\) .* grades between 0 and 1 in place of spikes"),
    ]:
        with pytest.raises(SpecError, match=reason):
            neuron("here", module, None)
    assert neuron("here", unknown, "sigmoid").args["surrogate"] == "sigmoid"
