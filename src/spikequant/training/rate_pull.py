"""A term of the loss that pulls firing rates to a half: Q-SNN's weight-spike regularization."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.neurons import tap
from spikequant.training.hearing import Heard

TARGET = 0.5


@contextlib.contextmanager
def rate_pull(model: nn.Module, weight: float) -> Iterator[Callable[[], Tensor | float]]:
    """Within the block, what the spiking layers fire is kept with its gradient; the result gives the term after it.

    Equation: ``weight * mean over layers of (rate - 1/2)^2``, without the first and the last layer; the rate is that of the batch.
    It pulls against sparsity. ``weight`` 0 watches nothing.

    Raises:
        SpecError: the model has fewer than 3 spiking layers.

    Source: Q-SNNs (ACM MM 2024), WS-DR, the authors' code (weight 5e-3).
    """
    if not weight:
        yield lambda: 0.0
        return
    heard = Heard(torch.mean)
    with tap(model, heard):
        yield lambda: weight * _distance(list(heard.rates.values()))


def refuse_few(layers: int) -> None:
    """Refuse a model with so few spiking layers that none is between the first and the last.

    Raises:
        SpecError: fewer than 3.
    """
    if layers < 3:
        raise SpecError(f"rate_pull leaves out the first and last spiking layer, and the model has {layers}: it needs at least 3")


def _distance(rates: list[Tensor]) -> Tensor:
    refuse_few(len(rates))
    return (torch.stack(rates[1:-1]) - TARGET).square().mean()
