"""A network that runs one step a call, run over time as its user's loop does."""

import inspect
from typing import Any

from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons import rest


class Unrolled(nn.Module):
    """The user's loop over time around a network of single steps: from rest, step by step, outputs summed.

    With ``steps``, a still input is shown that often; without, inputs are ``[time, batch, ...]``. A network that takes a
    ``state`` gets back what it returned (Norse); others hold their own (snnTorch with ``init_hidden``, SpikingJelly).

    Raises:
        MismatchError: steps is below 1.

    >>> Unrolled(nn.Identity(), steps=3)(Tensor([1.0, 2.0])).tolist()
    [3.0, 6.0]
    """

    def __init__(self, network: nn.Module, steps: int | None = None) -> None:
        super().__init__()
        if steps is not None and steps < 1:
            raise MismatchError(f"steps must be at least 1, got {steps}")
        self.network, self.steps = network, steps
        self.takes_state = "state" in inspect.signature(network.forward).parameters

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all steps."""
        rest(self.network)
        total, state = None, None
        for step in x if self.steps is None else [x] * self.steps:
            output: Any = self.network(step, state) if self.takes_state else self.network(step)
            if self.takes_state:
                output, state = output
            value = output[0] if isinstance(output, tuple) else output
            total = value if total is None else total + value
        if not isinstance(total, Tensor):
            raise MismatchError(f"an input of no time steps, shape {tuple(x.shape)}")
        return total
