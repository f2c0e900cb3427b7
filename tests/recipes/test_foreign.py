"""Grids on guests, by doubles; the real ones are in ``tests/peers/test_guests.py``."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from spikequant.behavior import compare
from spikequant.errors import SpecError
from spikequant.models import Unrolled
from spikequant.neurons import spiking
from spikequant.quantizers import FixedPoint, Uniform
from spikequant.recipes import Override, Recipe, bake, quantize

HALVES = Uniform(bits=3, low=-1.5, high=2.0)


def data() -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(6, 4, generator=torch.Generator().manual_seed(index)) * 3, torch.zeros(6)) for index in range(2)]


def net(foreign: ModuleType) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), foreign.Leaky(0.75), nn.Linear(8, 3), foreign.IFNode())


def test_states_of_both_kinds_lie_on_their_grid(foreign: ModuleType) -> None:
    guest = net(foreign)
    small = quantize(guest, Recipe(weights=HALVES, state=HALVES))
    small(data()[0][0])
    assert small[1].mem.mul(2).frac().eq(0).all()  # type: ignore[union-attr, operator]
    assert small[0].weight.mul(2).frac().eq(0).all()  # type: ignore[union-attr, operator]
    assert list(spiking(small)) == ["3"]
    assert not guest[1].state_quant
    assert not hasattr(guest[3], "stand_in")


def test_a_guest_is_baked_between_two_steps(foreign: ModuleType) -> None:
    """What it holds of the graph of its last step cannot be copied."""
    small = quantize(net(foreign), Recipe(weights=HALVES))
    small(data()[0][0])
    assert small[1].mem.requires_grad  # type: ignore[union-attr]
    assert bake(small)(data()[0][0]).equal(small(data()[0][0]))


def test_ranges_are_fitted_to_what_guests_reach(foreign: ModuleType) -> None:
    guest = Unrolled(net(foreign), 6)
    small = quantize(guest, Recipe(state=Uniform(bits=8)), calibration=data())
    leaky, node = small.network[1].state_quant.holder, small.network[3].stand_in.state  # type: ignore[index, union-attr]
    assert leaky.high > 1.0
    assert node.high > 0.5
    drift = compare(guest, small, data(), resamples=3)
    assert [layer.agreement for layer in drift.layers] == pytest.approx([1.0, 1.0], abs=0.05)
    assert drift.layers[0].mean_rate > 0.1


def test_an_override_reaches_one_guest(foreign: ModuleType) -> None:
    small = quantize(net(foreign), Recipe(overrides={"1": Override(state=HALVES)}))
    assert small[1].state_quant  # type: ignore[union-attr]
    assert small[3].stand_in.state is None  # type: ignore[union-attr]


def test_constants(foreign: ModuleType) -> None:
    small = quantize(
        net(foreign), Recipe(constants={"threshold": FixedPoint(integer=2, fraction=3), "decay": FixedPoint(integer=1, fraction=1)})
    )
    assert (small[1].threshold.item(), small[1].beta.item()) == (1.0, 1.0)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("name", ["recurrent_weights", "V"])
def test_weights_inside_a_neuron_stay_float_only_where_that_is_said(foreign: ModuleType, name: str) -> None:
    guest = net(foreign)
    guest[1].register_parameter(name, nn.Parameter(torch.zeros(8, 8)))
    guest[1].norm = nn.BatchNorm1d(8)
    told = "1: no grid is hung on weights of a Leaky, only on those of .*leave them float: overrides={'1': Override.weights='float'.}"
    with pytest.raises(SpecError, match=told):
        quantize(guest, Recipe(weights=HALVES))
    small = quantize(guest, Recipe(weights=HALVES, overrides={"1": Override(weights="float")}))
    assert small[0].weight.mul(2).frac().eq(0).all()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("beside", [[], [1]], ids=["alone", "beside a known one"])
@pytest.mark.parametrize("recipe", [Recipe(state=HALVES), Recipe(constants=HALVES), Recipe(weights=HALVES)])
def test_neurons_that_are_not_known_stay_float_only_where_that_is_said(foreign: ModuleType, recipe: Recipe, beside: list[int]) -> None:
    guest = nn.Sequential(foreign.PSN(), *(nn.Sequential(nn.Linear(4, 2), foreign.Leaky()) for _ in beside))
    with pytest.raises(SpecError, match=r"0: .* PSN(,| is not).*leave (it|them) float"):
        quantize(guest, recipe)
    if beside:
        kept = Override(state="float", constants="float", weights="float")
        assert quantize(guest, recipe.model_copy(update={"overrides": {"0": kept}}))(torch.ones(3, 4)).shape == (3, 2)


def test_refuses(foreign: ModuleType) -> None:
    for guest, recipe, reason in [
        (nn.Sequential(foreign.Leaky(reset_delay=False)), Recipe(state=HALVES), "resets after it has rounded"),
        (nn.Sequential(foreign.Leaky(state_quant=abs)), Recipe(state=HALVES), "has a state_quant already"),
        (nn.Sequential(foreign.Leaky()), Recipe(state=HALVES, snapped="both"), "rounds before it fires; snapped='both'"),
        (
            nn.Sequential(foreign.Leaky()),
            Recipe(state={"v": HALVES, "i": HALVES}),
            "recipe: i: only neurons with a synaptic current have these",
        ),
        (net(foreign), Recipe(state=Uniform(bits=4)), "the states of 1, 3 need data"),
    ]:
        with pytest.raises(SpecError, match=reason):
            quantize(guest, recipe)
    with pytest.raises(SpecError, match="quantized already"):
        quantize(quantize(net(foreign), Recipe(state=HALVES)), Recipe(state=HALVES))
