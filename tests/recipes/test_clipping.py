import pytest
import torch

from spikequant.models import Network
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, beyond_clip, idle_clip, quantize


def test_says_that_narrow_and_wide_are_one_configuration(model: Network) -> None:
    model.conv2.weight.data[0, 0, 0, 0] = -0.875
    narrow, wide = (quantize(model, Recipe(weights=LQNet(bits=2, clip=clip))) for clip in (1.0, 10.0))
    assert beyond_clip(narrow) == beyond_clip(wide) == {"conv1": 0.0, "conv2": 0.0, "readout": 0.0}
    assert "the clip at 1 touches no weight (the largest is 0.875)" in (idle_clip(narrow) or "")
    assert "the clip at 10 touches no weight" in (idle_clip(wide) or "")
    assert narrow.conv2.weight.equal(wide.conv2.weight)


def test_counts_the_float_weights_that_lie_beyond(model: Network) -> None:
    model.conv2.weight.data[0, 0] = 1.5  # 9 of 4 x 8 x 9
    quantized = quantize(model, Recipe(weights=LQNet(bits=2, clip=1.0)))
    assert beyond_clip(quantized) == {"conv1": 0.0, "conv2": 1 / 32, "readout": 0.0}
    assert idle_clip(quantized) is None


def test_a_weight_at_the_clip_is_not_beyond_it(model: Network) -> None:
    model.conv2.weight.data[0, 0] = -1.0
    assert idle_clip(quantize(model, Recipe(weights=LQNet(bits=2, clip=1.0)))) is not None


def test_a_grid_that_starts_from_its_clip_depends_on_it(model: Network) -> None:
    narrow, wide = (quantize(model, Recipe(weights=LQNet(bits=2, clip=clip, start="clip"))) for clip in (1.0, 10.0))
    assert idle_clip(narrow) is None
    assert not narrow.conv2.weight.equal(wide.conv2.weight)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(weights=LQNet(bits=2)), Recipe(weights=Uniform(bits=2, low=-1.0, high=1.0))])
def test_is_silent_where_no_learned_grid_has_a_clip(model: Network, recipe: Recipe) -> None:
    quantized = quantize(model, recipe)
    assert beyond_clip(quantized) == {}
    assert idle_clip(quantized) is None


def test_does_not_count_as_a_step_of_training(model: Network) -> None:
    quantized = quantize(model, Recipe(weights=LQNet(bits=2, clip=1.0))).train()
    before = {name: tensor.clone() for name, tensor in quantized.state_dict().items()}
    idle_clip(quantized)
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantized.state_dict().items())
