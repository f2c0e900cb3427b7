import pytest
import torch
from torch import nn

from spikequant.behavior import level_health
from spikequant.errors import SpecError
from spikequant.neurons import LIF
from spikequant.quantizers import Anchored, LQNet, Uniform

STEPS = torch.tensor([0.4, 0.4, 0.4, 0.4]).reshape(4, 1, 1).expand(4, 2, 2)
LOADER = [(STEPS, torch.zeros(2))]


def of(state: object) -> nn.Module:
    return nn.Sequential(LIF(decay=0.5, state=state))  # type: ignore[arg-type]


def test_an_anchored_grid_keeps_both_anchors() -> None:
    found = level_health(of(Anchored(bits=2)), LOADER)[0]
    assert (found.layer, found.rest_missed, found.threshold_missed, found.singular) == ("0", 0.0, 0.0, None)
    assert found.unused == 0.75  # 0.4 and 0.65 are both held as 0.5


def test_lqnet_with_one_code_in_use_is_singular_and_off_both_anchors() -> None:
    quantizer = LQNet(bits=2).build((1, 2), 1)
    quantizer.basis.copy_(torch.tensor([[0.5, 1.0], [0.5, 1.0]]))
    found = level_health(of(quantizer), LOADER)[0]
    assert (found.rest_missed, found.threshold_missed, found.unused) == (0.5, 0.5, 0.75)
    assert found.singular == 1.0


def test_step_shift_is_nothing_where_every_step_is_alike() -> None:
    quiet = [(torch.randn(1, 64, 2, generator=torch.Generator().manual_seed(0)).expand(2, 64, 2), torch.zeros(64))]
    alike = level_health(nn.Sequential(LIF(decay=0.0, state=Anchored(bits=2))), quiet)[0]
    grown = level_health(nn.Sequential(LIF(decay=1.0, state=Anchored(bits=2))), quiet)[0]
    assert alike.step_shift == pytest.approx(0, abs=1e-6)
    assert grown.step_shift > 0.1


def test_float_states_are_refused() -> None:
    with pytest.raises(SpecError, match="no state of the model has a grid"):
        level_health(nn.Sequential(LIF(decay=0.5)), LOADER)


def test_the_threshold_of_each_channel_is_its_own() -> None:
    """Levels -1, -1/3, 1/3, 1: a threshold of 2/3 lies half of itself away from the nearest, and rest as much."""
    model = nn.Sequential(LIF(decay=0.5, threshold=torch.tensor([2 / 3, 1.0]), state=Uniform(bits=2, low=-1.0, high=1.0)))
    found = level_health(model, LOADER)[0]
    assert (found.rest_missed, found.threshold_missed) == (pytest.approx(0.5), pytest.approx(0.5))
