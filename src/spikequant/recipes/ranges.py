"""Which values the parameters of a network take when it runs, and the integer bits that fixed point needs for them."""

import contextlib
from collections import defaultdict
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.neurons import spiking
from spikequant.neurons.showing import watching
from spikequant.quantizers import integer_bits
from spikequant.recipes.calibration import Loader, listened, refuse_silent, show
from spikequant.recipes.plan import original, weighted

FINEST = 16  # fraction bits of the finest format that the paper tries


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
    """The range of every weight, membrane, threshold and decay, layer by layer, over the first ``batches`` of a loader.

    Raises:
        SpecError: the loader gave nothing, or a neuron was never called.

    >>> from spikequant.neurons import LIF
    >>> [found.parameter for found in observe_ranges(nn.Sequential(LIF(decay=0.5)), [(torch.ones(2, 1, 1), torch.zeros(1))])]
    ['V', 'V_th', 'decay']
    """
    neurons, seen = spiking(model), defaultdict[str, list[Tensor]](list)
    with contextlib.ExitStack() as stack:
        for name, neuron in neurons.items():
            stack.callback(listened(neuron, "state", partial(_keep, seen, name)).remove)
        with watching(model):
            show(model, loader, batches)
    refuse_silent(neurons, seen)
    found = [_of(name, "w", weight) for name, layer in weighted(model).items() if (weight := original(layer, "weight")) is not None]
    for name, neuron in neurons.items():
        found.append(_of(name, "V", torch.stack(seen[name])))
        found += [_of(name, "V_th", neuron.fires_at), _of(name, "decay", neuron.decay)]
    return found


def _keep(seen: dict[str, list[Tensor]], name: str, membranes: Tensor) -> None:
    seen[name].append(torch.stack(torch.aminmax(membranes)))


def _of(layer: str, parameter: str, values: Tensor) -> Range:
    low, high = torch.aminmax(values.detach())
    return Range(layer, parameter, float(low), float(high))
