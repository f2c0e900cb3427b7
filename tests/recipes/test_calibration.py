from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikequant.data.digits import digits
from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.neurons import LIF
from spikequant.quantizers import LSQ, FixedPoint, Membrane, QuantizerSpec, Uniform
from spikequant.recipes import Recipe, observe_ranges, quantize
from spikequant.recipes.norms import reestimate

CURRENT = [(torch.full((2, 3), 0.2), torch.zeros(2))]
FITTED = Uniform(bits=8, symmetric=False)


class Held(nn.Module):
    """A current that stands for eight steps, said in one way or the other."""

    def __init__(self, by_name: bool) -> None:
        super().__init__()
        self.lif, self.by_name = LIF(decay=0.9), by_name

    def forward(self, x: Tensor) -> Tensor:
        current = x.unsqueeze(0)
        return self.lif(current=current, steps=8) if self.by_name else self.lif(current, 8)


class Stepped(nn.Module):
    """Steps of ``scan``, and a neuron that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.lif, self.spare = LIF(decay=0.9), LIF(decay=0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.lif.scan(x.unsqueeze(0))[0]


class Frozen(nn.Module):
    """Training, but for a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.lif = nn.BatchNorm1d(3), LIF(decay=0.5)
        self.train()
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.norm(x).unsqueeze(0))


def test_arguments_by_name_are_seen() -> None:
    ends = {by_name: quantize(Held(by_name), Recipe(state=FITTED), CURRENT).lif.state.high.item() for by_name in (True, False)}
    ranges = {by_name: observe_ranges(Held(by_name), CURRENT) for by_name in (True, False)}
    assert ends[True] == ends[False] > 0.9  # 0.2, then 0.38, ...
    assert ranges[True] == ranges[False]


@pytest.mark.parametrize("spec", [FITTED, LSQ(bits=4), Membrane(bits=2)], ids=lambda spec: spec.kind)
def test_a_neuron_that_is_never_called_is_named(spec: QuantizerSpec) -> None:
    with pytest.raises(SpecError, match="lif, spare: never called in the calibration pass"):
        quantize(Stepped(), Recipe(state=spec), CURRENT)
    with pytest.raises(SpecError, match="lif, spare: never called in the calibration pass"):
        observe_ranges(Stepped(), CURRENT)


def test_every_module_keeps_its_mode() -> None:
    model = Frozen()
    small = quantize(model, Recipe(state=FITTED), CURRENT)
    observe_ranges(model, CURRENT)
    reestimate(small, CURRENT, 1)
    for each in (model, small):
        assert (each.training, each.norm.training, each.lif.training) == (True, False, True)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (digits(), "a loader gives pairs .x, y., a DataSet gives nothing; pass Batches"),
        (digits().train, "this one gave Tensor; pass Batches"),
        ((torch.rand(2, 1, 8, 8), torch.zeros(2)), "this one gave Tensor"),
        ([(torch.rand(2, 1, 8, 8), torch.zeros(2), 1)], "this one gave tuple of 3"),
        ([{"x": 1, "y": 2}], "this one gave dict"),
        (
            [(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2))],
            "takes tensors of floating point, got torch.uint8; divide by the scale",
        ),
    ],
)
def test_what_is_no_loader_is_refused(model: Network, loader: Any, message: str) -> None:
    for use in (
        lambda: quantize(model, Recipe(state=FITTED), loader),
        lambda: observe_ranges(model, loader),
        lambda: quantize(model, Recipe(batch_norm="reestimated"), loader),
    ):
        with pytest.raises(SpecError, match=message):
            use()


def test_a_loader_that_can_be_walked_once_serves_all_passes(loader: list[tuple[Tensor, Tensor]]) -> None:
    fresh = build("digits", width=4)
    for recipe in (Recipe.integer(), Recipe(state=FITTED, batch_norm="reestimated")):
        once, twice = quantize(fresh, recipe, iter(loader)), quantize(fresh, recipe, loader)
        assert all(value.equal(twice.state_dict()[name]) for name, value in once.state_dict().items())


def test_a_grid_that_cannot_hold_the_membranes_names_its_layer() -> None:
    loud = [(torch.full((1, 2, 3), 400.0), torch.zeros(2))]
    with pytest.raises(SpecError, match=r"0: FixedPoint: integer [+] fraction must be at most 23, got 9 [+] 16"):
        quantize(nn.Sequential(LIF(decay=0.9, threshold=1000.0)), Recipe(state=FixedPoint(fraction=16)), loud)


class Named(nn.Module):
    """A network of another's that takes its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.lif = LIF(decay=0.9)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.lif(x["current"].unsqueeze(0))


def test_a_foreign_network_takes_what_it_likes() -> None:
    small = quantize(Named(), Recipe(state=FITTED), [({"current": CURRENT[0][0]}, CURRENT[0][1])])  # type: ignore[list-item]
    assert small.lif.state.high.item() == pytest.approx(0.2, rel=1e-2)  # a constant is widened
