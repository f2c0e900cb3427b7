"""Methods of the field that a new one is held against: Q-SNN, QP-SNN, SpQuant-SNN, MINT and SpikeFit."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from spikequant.quantizers.specs.base import QuantizerSpec, RangedSpec, Scope, Threshold, made_once

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid

SignedBits = Annotated[int, Field(ge=2, le=8)]


class QSNNBinary(QuantizerSpec):
    """Q-SNN's weights: the sign of the standardized weight, times a power of two, for each output channel.

    Equation: ``z = (w - mean) / std``; ``q = 2^round(log2(mean|z|)) sign(z)``. Backward ``k t (1 - tanh^2(t z))`` through the
    standardization, ``t`` rising from 0.1 to 10 on a logarithmic scale over the epochs of a training, ``k = max(1/t, 1)``.
    A weight at the mean takes the lower level (0 in the authors' code).
    Source: Q-SNNs (ACM MM 2024), the authors' code.

    >>> QSNNBinary().width
    1
    """

    kind: Literal["q_snn_binary"] = "q_snn_binary"
    rounding: Literal["nearest_even"] = "nearest_even"
    gradient: Literal["tanh"] = "tanh"  # type: ignore[assignment]

    @property
    def width(self) -> int:
        """Bits of one code."""
        return 1

    def label(self) -> str:
        """A few words for tables."""
        return "Q-SNN"

    def stored_bits(self, channels: int) -> int:
        """An exponent for each channel."""
        return 8 * channels


class QSNNMembrane(RangedSpec):
    """Q-SNN's membrane: ``tanh``, then signed levels up to the largest magnitude of this time step of the batch.

    Equation: ``u = tanh(v)``; ``a = max|u|``; ``q = a / n round(n u / a)``, ``n = 2^(bits - 1) - 1``; for ``snapped="after_reset"``.
    The range depends on the batch, so that there is no grid to export; and ``tanh`` is taken anew of what was stored.
    Source: Q-SNNs (ACM MM 2024), the authors' code.

    >>> QSNNMembrane(bits=2).batch_dependent
    True
    """

    kind: Literal["q_snn_membrane"] = "q_snn_membrane"
    rounding: Literal["nearest_even"] = "nearest_even"
    bits: SignedBits = 8

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    @property
    def scope(self) -> Scope:
        """The batch's membranes of one time step."""
        return "step_batch"

    def label(self) -> str:
        """A few words for tables."""
        return "Q-SNN tanh"

    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid around zero that reaches the larger end."""
        import torch

        from spikequant.numerics import integers

        top = 2 ** (self.bits - 1) - 1
        return integers(torch.maximum(low.abs(), high.abs()) / top, -top, 2 * top + 1, axis)


class ReScaW(QuantizerSpec):
    """QP-SNN's weights: ``2^bits`` levels from minus to plus the mean magnitude of each output channel.

    Equation: ``g = mean|w|``; ``z = clip(w / g, -1, 1)``; ``q = g (round((z + 1) n) / n - 1)``, ``n = (2^bits - 1) / 2``.
    ``ste``: ``official``, the authors' code, ``dq/dw = 1/g``, without mask; ``identity``, 1.
    Source: QP-SNN (ICLR 2025), the authors' code.

    >>> ReScaW(bits=2).label()
    'ReScaW'
    """

    kind: Literal["rescaw"] = "rescaw"
    rounding: Literal["nearest_even"] = "nearest_even"
    gradient: Literal["pass"] = "pass"
    bits: Annotated[int, Field(ge=1, le=8)]
    ste: Literal["official", "identity"] = "official"

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "ReScaW" if self.ste == "official" else "ReScaW identity"

    def stored_bits(self, channels: int) -> int:
        """A mean magnitude for each channel."""
        return 32 * channels


class SpQuant(QuantizerSpec):
    """SpQuant-SNN's membrane: multiples of the threshold, from ``lowest`` of them up to the threshold; for ``snapped="after_reset"``.

    ``lowest=-1`` is ternary (1.58 bits, 2 of a code). Backward, the stacked surrogate: a logistic curve at every midpoint
    (``spikequant.numerics.snap``).

    ``learned``: ``threshold`` is only where a parameter of the layer starts, ``theta = softplus(a)``, which levels and neuron share;
    its gradient comes from the surrogate of the spike, the reset and the levels (as that of LSQ's step, unscaled). The paper has a
    learnable threshold and the public code none: how it is learned is our reading, and such a spec says so (``uncertain``).
    Source: SpQuant-SNN, the authors' code; the learned threshold: its paper, our reading.

    >>> from spikequant.numerics import levels
    >>> levels(SpQuant(lowest=-1).grid()).tolist()
    [-1.0, 0.0, 1.0]
    """

    kind: Literal["spquant"] = "spquant"
    rounding: Literal["nearest_even"] = "nearest_even"
    gradient: Literal["stacked"] = "stacked"  # type: ignore[assignment]
    lowest: Annotated[int, Field(ge=-254, le=-1)] = -3
    threshold: Threshold = 1.0
    learned: bool = False

    @property
    def width(self) -> int:
        """Bits of one code."""
        return (1 - self.lowest).bit_length()

    @property
    def uncertain(self) -> bool:
        """How the threshold is learned is our reading."""
        return self.learned

    def label(self) -> str:
        """A few words for tables."""
        levels = "ternary" if self.lowest == -1 else f"{2 - self.lowest} levels"
        return f"SpQuant {levels}" + (", learned threshold (our reading)" if self.learned else "")

    def grid(self) -> "Grid":
        """The grid.

        Raises:
            SpecError: the threshold is learned.
        """
        return super().grid() if self.learned else self._multiples()

    @made_once
    def _multiples(self) -> "Grid":
        from spikequant.numerics import integers

        return integers(self.threshold, self.lowest, 2 - self.lowest)

    def stored_bits(self, channels: int) -> int:
        """The levels are multiples of the threshold, which the neuron holds."""
        return 0


class MINT(QuantizerSpec):
    """MINT's membrane: whole multiples of the step of the weights before it, so that a neuron adds whole numbers and nothing is scaled.

    Equation: ``u`` in ``step k``, ``-2^(bits - 1) <= k < 2^(bits - 1)``, ``step`` what the neuron gains from a weight's step; the neuron
    fires at ``step round(threshold / step)``. For ``snapped="after_reset"``: what is added may be wider than what is stored. The weights
    take multiples of one learned or fitted step a layer (``LSQ``, or ``Uniform`` with ``levels_at="zero"``), and
    ``batch_norm="folded"``, which would scale each channel. Alone, without weights before it, the step covers what is observed.
    Source: MINT (arXiv 2305.09850), abstract: one scale for both is certain, the rest is our reading.

    >>> MINT(bits=4).uncertain
    True
    """

    kind: Literal["mint"] = "mint"
    rounding: Literal["nearest_even"] = "nearest_even"
    bits: SignedBits

    @property
    def uncertain(self) -> bool:
        """All but the idea is our reading."""
        return True

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "MINT (our reading)"

    def stored_bits(self, channels: int) -> int:
        """The step is that of the weights, and cancels."""
        return 0


class SpikeFit(QuantizerSpec):
    """SpikeFit's clusterization-aware training: ``2^bits`` weight values of a layer, learned with the network.

    Our reading, since no code is public: a weight takes the nearest value and passes its gradient on; a value takes the sum of the
    gradients of its weights. The values start as k-means of the weights, begun from the equally spaced ones, and are rounded to
    ``value_bits`` over their largest magnitude. Certain is only that values are learned with the network, and are 2, 4 or 8 bits wide.
    Source: SpikeFit (arXiv 2510.15542), abstract.

    >>> SpikeFit(bits=2).uncertain
    True
    """

    kind: Literal["spikefit"] = "spikefit"
    rounding: Literal["nearest_even"] = "nearest_even"
    gradient: Literal["pass"] = "pass"
    bits: Annotated[int, Field(ge=1, le=6)]
    value_bits: SignedBits = 8

    @property
    def uncertain(self) -> bool:
        """All but the idea is our reading."""
        return True

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "SpikeFit (our reading)"

    def stored_bits(self, channels: int) -> int:
        """The values, and their scale."""
        return self.value_bits * (1 << self.bits) + 32
