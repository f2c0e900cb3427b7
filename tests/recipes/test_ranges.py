import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.neurons import LIF, Synaptic
from spikequant.recipes import Range, observe_ranges

# Q-SpiNN, Table I: what was observed, what is declared (w_max = 1), and the integer bits that follow.
TABLE = {
    "V_reset": (-65.0, -65.0, 7),
    "theta": (0.05, 0.05, 1),
    "V_th": (-52.0, 1271.88, 11),
    "V": (-887.29, 1250.18, 11),
    "w": (0.0, 1.0, 1),
}


@pytest.mark.parametrize("parameter", TABLE)
def test_integer_bits_of_table_one(parameter: str) -> None:
    low, high, expected = TABLE[parameter]
    assert Range("", parameter, low, high).integer == expected


def test_values_by_hand() -> None:
    # v = v / 2 + x: 2, then 1 + 2 - with the threshold of 1 taken off after each spike.
    model = nn.Sequential(LIF(decay=0.5))
    found = {each.parameter: (each.low, each.high) for each in observe_ranges(model, [(torch.full((2, 1, 1), 2.0), torch.zeros(1))])}
    assert found == {"V": (2.0, 2.5), "V_th": (1.0, 1.0), "decay": (0.5, 0.5)}


def test_every_layer_of_a_network() -> None:
    model = build("digits")
    found = observe_ranges(model, [(torch.rand(2, 1, 8, 8), torch.zeros(2))])
    assert [each.layer for each in found if each.parameter == "w"] == ["conv1", "conv2", "readout"]
    weight = model.conv1.weight.detach()
    assert (found[0].low, found[0].high) == (float(weight.min()), float(weight.max()))
    assert not model.lif1._forward_pre_hooks


def test_currents_and_their_decay() -> None:
    # i = i / 2 + x: 1, then 1.5; v = v / 2 + i: 1, then 2.
    model = nn.Sequential(Synaptic(synapse=0.5, decay=0.5, threshold=4.0))
    found = {each.parameter: (each.low, each.high) for each in observe_ranges(model, [(torch.ones(2, 1, 1), torch.zeros(1))])}
    assert found == {"V": (1.0, 2.0), "I": (1.0, 1.5), "V_th": (4.0, 4.0), "decay": (0.5, 0.5), "synapse": (0.5, 0.5)}


def test_every_parameter_of_decolle() -> None:
    model = build("decolle", shape=(2, 8, 8), channels=(4, 4, 4), classes=3)
    events = torch.ones(5, 1, 2, 8, 8)
    found = {(each.layer, each.parameter): (each.low, each.high) for each in observe_ranges(model, [(events, torch.zeros(1))])}
    assert {parameter for _, parameter in found} == {"w", "bias", "V", "R", "P", "Q", "alpha", "beta", "gamma"}
    assert found["traces1", "alpha"] == pytest.approx((0.97, 0.97))
    assert found["traces1", "Q"][1] == pytest.approx(1 - 0.92**5)  # Q of a spike at every step


def test_every_parameter_of_neurons_that_compete() -> None:
    found = {each.parameter: each.integer for each in observe_ranges(build("stdp-net"), [(torch.rand(1, 1, 28, 28), torch.zeros(1))])}
    assert list(found) == ["w", "V", "V_th", "V_reset", "theta"]
    assert (found["V_reset"], found["theta"]) == (7, 1)


def test_refuses_an_empty_loader() -> None:
    with pytest.raises(SpecError, match="the calibration loader gave no batch"):
        observe_ranges(build("digits"), [])
