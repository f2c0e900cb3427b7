"""The lowest and highest membrane of every neuron over all that a model runs: the range that SQUAT asks for."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from spikequant.behavior.charges import Watcher, charges
from spikequant.neurons import spiking

Range = tuple[float, float]


@contextlib.contextmanager
def extremes(model: nn.Module) -> Iterator[dict[str, Range]]:
    """Within the block, the mapping grows to hold each neuron's lowest and highest membrane, before rounding and firing.

    Put a whole training run into the block to have what SQUAT's discussion asks: "clipping must encompass the maximum and
    minimum membrane potential values that would be reached during the full precision training process". Membranes are computed once
    more for it, and fused kernels stand aside: training takes about twice as long. Source: SQUAT, section V.

    Raises:
        MismatchError: a neuron stands in for a guest.

    >>> import torch
    >>> from spikequant.neurons import LIF
    >>> model = nn.Sequential(LIF(decay=0.5, threshold=10.0))
    >>> with extremes(model) as seen:
    ...     spikes = model(torch.tensor([-1.0, 4.0]).reshape(2, 1, 1))
    >>> seen
    {'0': (-1.0, 3.5)}
    """
    seen: dict[str, Range] = {}

    def watcher(name: str) -> Watcher:
        def widen(v: Tensor) -> None:
            low, high = seen.get(name, (float("inf"), float("-inf")))
            seen[name] = (min(low, float(v.amin())), max(high, float(v.amax())))

        return widen

    with charges(model, {name: watcher(name) for name in spiking(model)}, on_grid=False):
        yield seen
