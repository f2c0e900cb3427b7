"""Levels that follow the weights: fitted to them, or learned with them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.quantizers.specs.base import Bits, QuantizerSpec


class LQNet(QuantizerSpec):
    """LQ-Net: levels are all signed sums of ``bits`` basis values per output channel, fitted at every training step.

    ``clip`` bounds the weights before they are assigned (Beyond Accuracy's narrow 1 and wide 10; what clipping means there is
    uncertain); ``debiased`` corrects the moving average as the released code does; ``start`` ``paper`` takes the He deviation
    of ``fan``, ``mse_uniform`` the best uniform grid, ``clip`` the uniform grid from -clip to clip (the second reading of that
    paper's ranges; from far outside the weights the fit ends at one bit).
    Source: LQ-Nets (Zhang et al. 2018); Beyond Accuracy, section 3.2.

    >>> LQNet(bits=2).label()
    'LQ-Net'
    """

    kind: Literal["lqnet"] = "lqnet"
    rounding: Literal["nearest_even"] = "nearest_even"
    bits: Annotated[int, Field(ge=1, le=8)]
    clip: Annotated[float, Field(gt=0)] | None = None
    average: Annotated[float, Field(ge=0, lt=1)] = 0.9
    debiased: bool = True
    ridge: Annotated[float, Field(ge=0)] = 1e-4
    fan: Literal["fan_in", "fan_out"] = "fan_in"
    start: Literal["paper", "mse_uniform", "clip"] = "paper"

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if self.start == "clip" and self.clip is None:
            raise ValueError("start='clip' needs a clip to start from; give one, or nearest valid value: 'paper'")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "LQ-Net" if self.clip is None else f"LQ-Net clip {self.clip:g}"


class LSQ(QuantizerSpec):
    """LSQ: multiples of a learned step, from ``-2^(bits-1)`` to ``2^(bits-1) - 1``, or from 0 where ``signed`` is false.

    Source: LSQ (Esser et al. 2020).

    >>> LSQ(bits=4).label()
    'LSQ'
    """

    kind: Literal["lsq"] = "lsq"
    rounding: Literal["nearest_even"] = "nearest_even"
    gradient: Literal["mask"] = "mask"
    bits: Bits
    signed: bool = True
    per_channel: bool = False

    @model_validator(mode="after")
    def _has_positive_levels(self) -> Self:
        if self.signed and self.bits < 2:
            raise ValueError(f"signed LSQ needs at least 2 bits, got {self.bits}; nearest valid value: 2 (or use Binary)")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "LSQ"
