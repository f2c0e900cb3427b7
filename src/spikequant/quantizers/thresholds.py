"""The quantizers of states that decide at what their neuron fires: levels and threshold come from one number."""

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.numerics import Affine, integers, positive, raw_of
from spikequant.quantizers.modules import Averaged, Fixed, Quantizer
from spikequant.quantizers.specs import MINT, SpQuant

LEAST = 2.0**-20


def spquant(spec: SpQuant, shape: tuple[int, ...], axis: int) -> Quantizer:
    """SpQuant-SNN's levels, over a threshold that stands or is learned."""
    return LearnedThreshold(spec, shape, axis) if spec.learned else Fixed(spec, shape, axis)


class LearnedThreshold(Quantizer):
    """SpQuant-SNN's multiples of a threshold, a parameter: ``theta = softplus(raw)``."""

    def __init__(self, spec: SpQuant, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.lowest = spec.lowest
        self.raw = nn.Parameter(raw_of(spec.threshold))

    def grid(self) -> Affine:
        """Multiples of the threshold, up to it; their gradient goes to it."""
        return integers(positive(self.raw), self.lowest, 2 - self.lowest)

    def fires_at(self, threshold: Tensor) -> Tensor:
        """The threshold learned, whatever the neuron's own."""
        return positive(self.raw).to(threshold.dtype)


class SharedStep(Averaged):
    """MINT's multiples of the step of the weights before the neuron, or, alone, of one that covers what was observed.

    ``weights``: the quantizer of those weights and what the neuron gains from a weight of 1, given by ``follow_weights``.
    """

    step: Tensor

    def __init__(self, spec: MINT, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.end = 2 ** (spec.bits - 1)
        self.register_buffer("step", torch.full((), torch.nan))
        self.checked = False  # looking at a value would keep a GPU from recording its steps
        self.weights: tuple[Quantizer, float] | None = None  # a tuple, since torch would list it among this module's own parts

    @property
    def needs_data(self) -> bool:
        """Whether there are no weights to take the step from."""
        return self.weights is None

    def follow_weights(self, weights: Quantizer, gain: float) -> None:
        """Take the step of these weights from now on, times ``gain``."""
        self.weights = (weights, gain)
        self.checked = False

    def grid(self) -> Affine:
        """Whole multiples of the step.

        Raises:
            SpecError: there are no weights, and no data was observed; or the weights are on no one step.
        """
        return integers(self._step(), -self.end, 2 * self.end)

    def fires_at(self, threshold: Tensor) -> Tensor:
        """The multiple of the step nearest to the neuron's threshold, 1 at the least."""
        step = self._step().to(threshold)
        return (threshold / step).round().clamp(min=1) * step

    def statistic(self, x: Tensor) -> Tensor:
        """The step that covers these values."""
        return (x.abs().max() / (self.end - 1 or 1)).clamp(min=LEAST)

    def joined(self, found: Tensor) -> Tensor:
        """The step that covers all batches."""
        return found.amax(0)

    def take(self, found: Tensor) -> None:
        """Keep the step."""
        self.step.copy_(found)

    def _step(self) -> Tensor:
        if self.weights is None:
            if torch.isnan(self.step):
                raise SpecError(f"{self.spec.label()} stands after no quantized weights and has seen no data: quantize a model with it")
            return self.step
        quantizer, gain = self.weights
        grid = quantizer.grid()
        if not isinstance(grid, Affine) or not (self.checked or (grid.step.ndim == 0 and float(grid.shift) == 0)):
            raise SpecError(f"{self.spec.label()} takes one step for all weights, through zero: {quantizer.spec.label()} has none; use LSQ")
        self.checked = True
        return (grid.step.detach() * gain).clamp(min=LEAST)
