"""How a model is shown data to be watched: in evaluation, without gradients, each batch from rest."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from spikequant.neurons.guests import rest


def placed(model: nn.Module, x: Tensor) -> Tensor:
    """The batch on the device of the model."""
    return x.to(next(itertools.chain(model.parameters(), model.buffers()), x).device)


def from_rest(model: nn.Module, x: Any) -> Any:
    """What a model gives for a batch, on its own device; guests, which hold their state from call to call, begin and end at rest.

    What is no tensor, which some foreign networks take, is shown as it is.
    """
    rest(model)
    output = model(placed(model, x) if isinstance(x, Tensor) else x)
    rest(model)
    return output


@contextlib.contextmanager
def watching(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each module is in the mode in which it was."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
