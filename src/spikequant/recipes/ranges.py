"""Which values the parameters of a network take when it runs, and the integer bits that fixed point needs for them."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.neurons import LIF, spiking
from spikequant.quantizers import integer_bits
from spikequant.recipes.plan import original, weighted

Loader = Iterable[tuple[Tensor, Tensor]]
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
        SpecError: the loader gave nothing.

    >>> [found.parameter for found in observe_ranges(nn.Sequential(LIF(decay=0.5)), [(torch.ones(2, 1, 1), torch.zeros(1))])]
    ['V', 'V_th', 'decay']
    """
    neurons, seen = spiking(model), dict[str, list[Tensor]]()
    handles = [neuron.register_forward_pre_hook(_watch(seen.setdefault(name, []))) for name, neuron in neurons.items()]
    training = model.training
    try:
        with torch.no_grad():
            shown = sum(1 for _, (x, _) in zip(range(batches), loader, strict=False) if model.eval()(x) is not None)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    if not shown:
        raise SpecError("the loader gave no batch: ranges are watched on at least 1")
    found = [_of(name, "w", weight) for name, layer in weighted(model).items() if (weight := original(layer, "weight")) is not None]
    for name, neuron in neurons.items():
        found.append(_of(name, "V", torch.stack(seen[name])))
        found += [_of(name, "V_th", neuron.fires_at), _of(name, "decay", neuron.decay)]
    return found


def _of(layer: str, parameter: str, values: Tensor) -> Range:
    low, high = torch.aminmax(values.detach())
    return Range(layer, parameter, float(low), float(high))


class _watch:
    def __init__(self, seen: list[Tensor]) -> None:
        self.seen = seen

    def __call__(self, neuron: nn.Module, inputs: tuple[Tensor, int | None]) -> None:
        if isinstance(neuron, LIF):
            self.seen.append(torch.stack(torch.aminmax(neuron.charged(*inputs))))
