"""The lowest and highest membrane of every neuron over all that a model runs: the range that SQUAT asks for."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from spikequant.neurons import LIF, spiking

Range = tuple[float, float]


@contextlib.contextmanager
def extremes(model: nn.Module) -> Iterator[dict[str, Range]]:
    """Within the block, the mapping grows to hold each neuron's lowest and highest membrane, before rounding and firing.

    Put a whole training run into the block to have what SQUAT's discussion asks: "clipping must encompass the maximum and
    minimum membrane potential values that would be reached during the full precision training process". Membranes are computed once
    more for it, and fused kernels stand aside: training takes about twice as long. Source: SQUAT, section V.

    >>> import torch
    >>> model = nn.Sequential(LIF(decay=0.5, threshold=10.0))
    >>> with extremes(model) as seen:
    ...     spikes = model(torch.tensor([-1.0, 4.0]).reshape(2, 1, 1))
    >>> seen
    {'0': (-1.0, 3.5)}
    """
    seen: dict[str, Range] = {}
    handles = [neuron.register_forward_pre_hook(_Watch(name, seen)) for name, neuron in spiking(model).items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class _Watch:
    def __init__(self, name: str, seen: dict[str, Range]) -> None:
        self.name, self.seen = name, seen

    def __call__(self, neuron: nn.Module, inputs: tuple[Tensor, int | None]) -> None:
        if isinstance(neuron, LIF):
            v = neuron.charged(*inputs)
            low, high = self.seen.get(self.name, (float("inf"), float("-inf")))
            self.seen[self.name] = (min(low, float(v.amin())), max(high, float(v.amax())))
