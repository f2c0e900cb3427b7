"""Which values the parameters of a network take when it runs, and the integer bits that fixed point needs for them."""

import contextlib
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.neurons import LIF, Competing, guests
from spikequant.neurons.showing import watching
from spikequant.quantizers import integer_bits
from spikequant.recipes.calibration import Loader, listened, refuse_silent, show
from spikequant.recipes.parts import NAMES, VARIABLES, Part, stateful
from spikequant.recipes.plan import Hung, original, plan, weighted
from spikequant.recipes.recipe import Recipe

FINEST = 16  # fraction bits of the finest format that the paper tries
SYMBOLS: dict[Part, str] = {"weights": "w", "biases": "bias", "state": "V", "current": "I", "bound": "V_th", "threshold": "V_th"}
SYMBOLS |= {"reset": "V_reset", "p": "P", "q": "Q", "r": "R"}  # all others go by their own names


class Range(NamedTuple):
    """The lowest and highest value of one parameter, among them those that are declared (``w_max``, whether or not it is reached)."""

    layer: str
    parameter: str
    low: float
    high: float

    @property
    def integer(self) -> int:
        """Integer bits: at least 1, else the fewest whose range holds both ends.

        Source: Q-SpiNN, Table I: V_th and V take 11, V_reset 7, w and theta 1.

        >>> Range("excitatory", "V_th", -52.0, 1271.88).integer, Range("synapses", "w", 0.0, 1.0).integer
        (11, 1)
        """
        return integer_bits(self.low, self.high, FINEST)


def observe_ranges(model: nn.Module, loader: Loader, batches: int = 8) -> list[Range]:
    """The range of every parameter that a recipe can put on a grid, layer by layer; of variables over the first ``batches`` of a loader.

    Raises:
        SpecError: the loader gave nothing, a neuron was never called, or the model has neurons of other libraries.

    >>> from spikequant.neurons import LIF
    >>> [found.parameter for found in observe_ranges(nn.Sequential(LIF(decay=0.5)), [(torch.ones(2, 1, 1), torch.zeros(1))])]
    ['V', 'V_th', 'decay']
    """
    if guests(model):
        raise SpecError(f"{', '.join(guests(model))}: ranges are watched on our neurons; adopt the network first")
    neurons = stateful(model)
    owners = weighted(model) | neurons
    hung = [each for each in plan(model, Recipe()) if each.part != "activations"]
    seen: dict[Hung, list[Tensor]] = {each: [] for each in hung if each.part in VARIABLES and each.part != "bound"}
    with contextlib.ExitStack() as stack:
        for each, found in seen.items():
            stack.callback(listened(neurons[each.layer], each.part, partial(_keep, found)).remove)
        with watching(model):
            show(model, loader, batches)
    refuse_silent((each.layer for each in seen), {each.layer for each, found in seen.items() if found})
    return [_of(each, torch.stack(seen[each]) if each in seen else _standing(owners[each.layer], each.part)) for each in hung]


def _keep(found: list[Tensor], values: Tensor) -> None:
    found.append(torch.stack(torch.aminmax(values)))


def _standing(owner: nn.Module, part: Part) -> Tensor:
    """What does not change while the network runs."""
    if part in NAMES:
        return cast(Tensor, original(owner, NAMES[part]))
    if part == "bound":
        neuron = cast(Competing, owner)
        return neuron.threshold + neuron.adapted
    return cast(Tensor, cast(LIF, owner).fires_at if part == "threshold" else getattr(owner, part))


def _of(hung: Hung, values: Tensor) -> Range:
    low, high = torch.aminmax(values.detach())
    return Range(hung.layer, SYMBOLS.get(hung.part, hung.part), float(low), float(high))
