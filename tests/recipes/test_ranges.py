import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.neurons import LIF
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


def test_refuses_an_empty_loader() -> None:
    with pytest.raises(SpecError, match="the calibration loader gave no batch"):
        observe_ranges(build("digits"), [])
