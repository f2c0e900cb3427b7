import pytest
import torch

from spikequant.errors import SpecError
from spikequant.neurons.rounder import rounder
from spikequant.quantizers import FixedPoint


def test_a_quantizer_draws_its_own_noise_for_every_step() -> None:
    held = FixedPoint(integer=1, fraction=2, rounding="stochastic").build((1, 64), 1).eval()
    values = torch.full((1, 64), 0.4)
    first, second = rounder(held)(0, values), rounder(held)(1, values)
    assert set(first.unique().tolist()) == {0.25, 0.5}
    assert not torch.equal(first, second)
    assert torch.equal(first, rounder(held)(0, values))


def test_a_spec_without_noise_is_refused() -> None:
    with pytest.raises(SpecError, match="draws no noise"):
        rounder(FixedPoint(integer=1, fraction=2, rounding="stochastic"))
