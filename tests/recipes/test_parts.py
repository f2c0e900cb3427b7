import pytest
from torch import nn

from spikequant.models import build
from spikequant.neurons import LIF, Alpha, ParametricLIF, Synaptic
from spikequant.recipes.parts import Parts, parts, stateful


@pytest.mark.parametrize(
    ("neuron", "variables", "constants"),
    [
        (LIF(decay=0.5), "state", "threshold decay"),
        (ParametricLIF(), "state", "threshold decay"),
        (Synaptic(synapse=0.5, decay=0.5), "state current", "threshold decay synapse"),
        (Synaptic(recurrent=nn.Identity(), decay=0.5), "state", "threshold decay"),
        (Alpha(decay=0.5, inhibitory=0.25), "state current", "threshold decay inhibitory"),
    ],
)
def test_what_a_neuron_has(neuron: LIF, variables: str, constants: str) -> None:
    assert parts(nn.Sequential(neuron)) == {"0": (tuple(variables.split()), tuple(constants.split()))}


def test_what_the_papers_networks_have() -> None:
    assert parts(build("stdp-net")) == {"excitatory": Parts(("state", "bound"), ("reset", "theta"))}
    assert parts(build("stdp-net"))["excitatory"].named == ("threshold", "reset", "theta")
    found = parts(build("decolle"))
    assert found["neurons1"] == Parts(("state", "r"), ("gamma",))
    assert found["traces1"] == Parts(("p", "q"), ("alpha", "beta"))
    assert list(found) == ["neurons1", "neurons2", "neurons3", "traces1", "traces2", "traces3"] == list(stateful(build("decolle")))
