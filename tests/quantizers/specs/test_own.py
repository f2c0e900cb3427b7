import warnings
from typing import Literal

import pytest

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.numerics import Grid, table
from spikequant.quantizers import QuantizerSpec
from spikequant.recipes import Recipe, memory, quantize


class Ternary(QuantizerSpec):
    kind: Literal["tests.test_own:Ternary"] = "tests.test_own:Ternary"
    reach: float = 0.5

    @property
    def width(self) -> int:
        return 2

    def label(self) -> str:
        return "ternary"

    def grid(self) -> Grid:
        import torch

        return table(torch.tensor([-self.reach, 0.0, self.reach]))


def test_a_recipe_takes_it_and_reads_it_again() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recipe = Recipe(weights=Ternary(reach=0.02), first="float", state=Ternary())  # type: ignore[arg-type]
        assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert recipe.label() == "ternary 2 bits / ternary 2 bits"
    small = quantize(build("digits"), recipe)
    assert small.get_submodule("conv2").weight.unique().tolist() == pytest.approx([-0.02, 0.0, 0.02])
    assert memory(small).state_bits == 2 * 1536


def test_code_that_was_not_imported_is_refused() -> None:
    with pytest.raises(SpecError, match=r"Recipe\.weights.*'os:system' is code that was not imported"):
        Recipe.read({"weights": {"kind": "os:system"}})


def test_what_is_wrong_with_it_is_told() -> None:
    with pytest.raises(SpecError, match="reach: must be a valid number, got 'far'"):
        Recipe.read({"weights": {"kind": "tests.test_own:Ternary", "reach": "far"}})
