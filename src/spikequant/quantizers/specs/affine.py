"""Equally spaced levels: over a range, of a fixed-point format, or anchored at zero and the threshold."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.quantizers.specs.base import Bits, Observer, Observing, QuantizerSpec, RangedSpec, Rounding, Threshold

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid

End = Annotated[float, Field(ge=-1e30, le=1e30)]
LevelsAt = Literal["ends", "zero", "twos"]


class Uniform(RangedSpec):
    """Equally spaced levels over a range, fixed (``low``, ``high``) or, where both are None, taken from the data.

    ``levels_at``: ``ends``, 2^bits levels from low to high (mid-rise when symmetric); ``zero``, 2^bits - 1 levels with zero
    among them (mid-tread); ``twos``, two's complement, 2^bits levels from low to high less one step. The last two are for
    symmetric ranges. Source: Beyond Accuracy, section 3.1; which of the three it means is open (``ends`` fits its tables).

    >>> Uniform(bits=2, low=-1.0, high=1.0, levels_at="zero").label()
    'uniform [-1, 1] zero'
    """

    kind: Literal["uniform"] = "uniform"
    bits: Bits
    low: End | None = None
    high: End | None = None
    levels_at: LevelsAt = "ends"
    per_channel: bool = False
    symmetric: bool = True
    observer: Observer = "minmax"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.9
    rounding: Rounding = "nearest_even"

    @model_validator(mode="after")
    def _range_is_whole(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high must be given together, or neither")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.low is not None and self.high is not None and not _tells_apart(self.low, self.high, self.bits):
            raise ValueError(
                f"float32 cannot tell {2**self.bits} levels from {self.low} to {self.high} apart; widen the range or use fewer bits"
            )
        if self.levels_at != "ends":
            if self.bits < 2:
                raise ValueError(f"levels_at={self.levels_at!r} needs at least 2 bits, got {self.bits}; nearest valid value: 2")
            if self.low is not None and self.high is not None and self.low != -self.high:
                raise ValueError(f"levels_at={self.levels_at!r} needs low = -high, got {self.low} and {self.high}")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        extent = "fitted" if self.low is None else f"[{self.low:g}, {self.high:g}]"
        return f"uniform {extent}" + ("" if self.levels_at == "ends" else f" {self.levels_at}")

    def observing(self) -> Observing:
        """How ``low`` and ``high`` are found."""
        symmetric = self.symmetric or self.levels_at != "ends"
        return Observing(self.observer, self.percentile, self.per_channel, symmetric)

    def grid(self) -> "Grid":
        """The grid of a fixed range."""
        import torch

        if self.low is None or self.high is None:
            return super().grid()
        return self.over(torch.tensor(self.low), torch.tensor(self.high))

    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid from ``low`` to ``high``."""
        from spikequant.numerics import affine, integers

        half = 2 ** (self.bits - 1)
        if self.levels_at == "zero":
            return affine(low, high, 2 * half - 1, axis)
        if self.levels_at == "twos":
            return integers(high / half, -half, 2 * half, axis)
        return affine(low, high, 2 * half, axis)


def _tells_apart(low: float, high: float, bits: int) -> bool:
    step = (high - low) / (2.0**bits - 1)
    return step >= max(2.0**-20 * max(abs(low), abs(high)), 2.0**-120)


class FixedPoint(RangedSpec):
    """Qi.f: a sign, ``integer`` bits and ``fraction`` bits in two's complement, saturating.

    Levels: multiples of ``2^-fraction`` from ``-2^integer`` to ``2^integer - 2^-fraction``. ``integer=None`` takes the smallest
    width (at least 1) whose range holds the data. ``nearest`` rounds half up, as Q-SpiNN's Eq. 4 does.
    Source: Q-SpiNN, section III-B.

    >>> FixedPoint(integer=1, fraction=6).label(), FixedPoint(integer=1, fraction=6).width
    ('Q1.6', 8)
    """

    kind: Literal["fixed_point"] = "fixed_point"
    integer: Annotated[int, Field(ge=0, le=23)] | None = None
    fraction: Annotated[int, Field(ge=0, le=23)]
    rounding: Literal["truncate", "nearest", "stochastic"] = "nearest"

    @model_validator(mode="after")
    def _codes_are_exact(self) -> Self:
        if self.integer is not None and self.integer + self.fraction > 23:
            raise ValueError(
                f"integer + fraction must be at most 23, got {self.integer} + {self.fraction}: float32 holds no more; "
                f"nearest valid value: fraction = {23 - self.integer}"
            )
        return self

    @property
    def width(self) -> int | None:
        """Bits of one code, its sign among them."""
        return None if self.integer is None else 1 + self.integer + self.fraction

    def label(self) -> str:
        """Q-SpiNN's notation."""
        return f"Q{'i' if self.integer is None else self.integer}.{self.fraction}"

    def grid(self) -> "Grid":
        """The grid of a fixed format."""
        from spikequant.numerics import integers

        if self.integer is None:
            return super().grid()
        whole = 2 ** (self.integer + self.fraction)
        return integers(2.0**-self.fraction, -whole, 2 * whole)

    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid whose integer bits hold ``low`` and ``high``.

        Raises:
            SpecError: integer and fraction bits together are more than float32 holds.
        """
        return FixedPoint(integer=integer_bits(float(low.min()), float(high.max()), self.fraction), fraction=self.fraction).grid()


def integer_bits(low: float, high: float, fraction: int) -> int:
    """The smallest number of integer bits, at least 1, whose range ``[-2^i, 2^i - 2^-f]`` holds both values.

    Source: Q-SpiNN, Table I (V_th in 11 bits, w in 1).

    >>> integer_bits(-887.0, 1250.0, 0), integer_bits(0.0, 1.0, 6), integer_bits(-65.0, -65.0, 0)
    (11, 1, 7)
    """
    return next(i for i in range(1, 128) if -(2.0**i) <= low and high <= 2.0**i - 2.0**-fraction)


class Anchored(QuantizerSpec):
    """Equally spaced levels with zero and the threshold among them, the threshold on top, ``below`` levels under zero.

    Equation: ``step = threshold / (2^bits - 1 - below)``; ``below`` is a quarter of the levels by default.

    >>> from spikequant.numerics import levels
    >>> levels(Anchored(bits=2).grid()).tolist()
    [-0.5, 0.0, 0.5, 1.0]
    """

    kind: Literal["anchored"] = "anchored"
    bits: Bits
    threshold: Threshold = 1.0
    below: Annotated[int, Field(ge=0)] | None = None
    rounding: Rounding = "nearest_even"

    @model_validator(mode="after")
    def _threshold_is_a_level(self) -> Self:
        if self.below is not None and self.below > 2**self.bits - 2:
            raise ValueError(
                f"below must leave zero and the threshold their levels, got {self.below}; nearest valid value: {2**self.bits - 2}"
            )
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "anchored"

    def grid(self) -> "Grid":
        """The grid."""
        from spikequant.numerics import affine, integers

        below = 2**self.bits // 4 if self.below is None else self.below
        return integers(affine(0.0, self.threshold, 2**self.bits - below).step, -below, 2**self.bits)
