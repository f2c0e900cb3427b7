import copy

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.neurons import spiking
from spikequant.quantizers import LSQ, MINT, SpikeFit
from spikequant.quantizers.thresholds import SharedStep
from spikequant.recipes import Recipe, load, quantize, save

RECIPE = Recipe(weights=LSQ(bits=4), state=MINT(bits=4), snapped="after_reset", batch_norm="folded")


def steps(model: Network) -> list[float]:
    held = [neuron.state for neuron in spiking(model).values()]
    return [float(each.grid().step) for each in held if isinstance(each, SharedStep)]


def of_weights(model: Network) -> list[float]:
    """Half a step of the weights: the neurons have tau 2."""
    return [float(model.get_submodule(name).parametrizations.weight[0].grid().step.detach()) / 2 for name in ("conv1", "conv2")]


def test_membranes_count_in_steps_of_the_weights_before_them(tmp_path: object) -> None:
    small = quantize(build("digits"), RECIPE)
    assert steps(small) == pytest.approx(of_weights(small))
    with torch.no_grad():
        small.conv1.parametrizations.weight[0].step.mul_(2)
    assert steps(small) == pytest.approx(of_weights(small))  # they follow
    assert steps(copy.deepcopy(small)) == steps(small)


def test_the_link_is_there_again_after_loading(tmp_path: object) -> None:
    small = quantize(build("digits"), RECIPE)
    save(small, str(tmp_path))
    assert steps(load(str(tmp_path))) == steps(small)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"batch_norm": None}, "batch_norm='folded'"),
        ({"weights": None}, "weights of conv1 are float"),
        ({"first": "float"}, "conv1 are float"),
        ({"weights": SpikeFit(bits=4)}, "lif1: MINT .* takes one step for all weights"),
    ],
)
def test_what_has_no_step_to_share_is_refused(change: dict[str, object], match: str) -> None:
    with pytest.raises(SpecError, match=match):
        quantize(build("digits"), RECIPE.model_copy(update=change))
