"""How a neuron that steps in Python puts a state on its grid."""

from collections.abc import Callable

from torch import Tensor

from spikequant.errors import SpecError
from spikequant.neurons.lif import HoldsGrid
from spikequant.numerics import snap

Round = Callable[[int, Tensor], Tensor]


def rounder(state: HoldsGrid) -> Round:
    """``round(step, value)`` onto the grid of a state, with its rounding, noise and gradient.

    Raises:
        SpecError: it rounds stochastically and draws no noise: a spec, not a quantizer.

    >>> import torch
    >>> from spikequant.quantizers import FixedPoint
    >>> rounder(FixedPoint(integer=1, fraction=1))(0, torch.tensor([0.3])).item()
    0.5
    """
    noise = getattr(state, "noise", None) if state.rounding_rule == "stochastic" else None
    if noise is None and state.rounding_rule == "stochastic":
        raise SpecError(f"{state} rounds stochastically but draws no noise; build a quantizer from it")

    def rounded(step: int, value: Tensor) -> Tensor:
        return snap(state.grid(), value, state.rounding_rule, state.gradient, None if noise is None else noise(step, value))

    return rounded
