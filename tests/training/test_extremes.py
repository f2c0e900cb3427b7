import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.training import Stdp, learning_ranges


def test_ranges_hold_what_is_seen_and_declared() -> None:
    model = build("stdp-net", inputs=16, neurons=5, time=50, rate_hz=250.0)
    before = model.synapses.weight.clone()
    loader = [(torch.ones(4, 1, 4, 4), torch.zeros(4))] * 3
    found = {each.parameter: each for each in learning_ranges(model, loader, Stdp())}
    assert {name: found[name].integer for name in ("V_reset", "theta", "w")} == {"V_reset": 7, "theta": 1, "w": 1}
    assert (found["w"].low, found["w"].high) == (0.0, 1.0)
    assert found["V_th"].low == -52.0
    assert found["V_th"].high > -52.0
    assert found["V"].low < -65.0  # inhibition
    assert torch.equal(before, model.synapses.weight)


def test_refuses_an_empty_loader() -> None:
    with pytest.raises(SpecError, match="the loader gave no image"):
        learning_ranges(build("stdp-net", inputs=4, neurons=2), [], Stdp())
