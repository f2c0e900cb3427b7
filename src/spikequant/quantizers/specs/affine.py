"""Equally spaced levels: over a range, of a fixed-point format, or anchored at zero and the threshold."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.quantizers.specs.base import (
    Bits,
    Observer,
    Observing,
    Percentile,
    QuantizerSpec,
    RangedSpec,
    Rounding,
    Scope,
    Threshold,
    made_once,
)

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid

End = Annotated[float, Field(ge=-1e30, le=1e30)]
LevelsAt = Literal["ends", "zero", "twos"]
Decay = Annotated[float, Field(ge=0, lt=1)]
PERCENTILE = 99.9


class Uniform(RangedSpec):
    """Equally spaced levels over a range, fixed (``low``, ``high``) or, where both are None, taken from the data.

    ``levels_at``: ``ends``, 2^bits levels from low to high (mid-rise when symmetric); ``zero``, 2^bits - 1 levels with zero
    among them (mid-tread); ``twos``, two's complement, 2^bits levels from low to high less one step. The last two are for
    symmetric ranges. Source: Beyond Accuracy, section 3.1; which of the three it means is open (``ends`` fits its tables).

    ``range``: ``frozen`` stands once found; ``step_batch``, ``sequence_batch`` and ``sample`` follow the membranes from lowest to
    highest (``Ranging`` of ``spikequant.numerics``), for states alone. ``below``: so many levels under zero, equally spaced among
    themselves, and zero a level (SQUAT, section V: "allocate less levels to negative hidden states").

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
    percentile: Percentile = PERCENTILE
    range: Literal["frozen", Scope] = "frozen"
    below: Annotated[int, Field(ge=1)] | None = None
    rounding: Rounding = "nearest_even"

    @model_validator(mode="after")
    def _range_follows_alone(self) -> Self:
        if self.range != "frozen":
            given = {"low": None, "levels_at": "ends", "per_channel": False, "observer": "minmax"}
            for name, only in given.items():
                if getattr(self, name) != only:
                    raise ValueError(
                        f"range={self.range!r} finds the range anew each time: {name} must be {only!r}, got {getattr(self, name)!r}"
                    )
        return self

    @model_validator(mode="after")
    def _observing_is_used(self) -> Self:
        if self.percentile != PERCENTILE and self.observer != "percentile":
            raise ValueError(f"percentile belongs to observer='percentile', got {self.percentile} with {self.observer!r}; leave it out")
        if self.low is not None and (self.per_channel or self.observer != "minmax"):
            raise ValueError("low and high fix one range for all: per_channel must be False and observer 'minmax', or leave them out")
        return self

    @model_validator(mode="after")
    def _levels_below_fit(self) -> Self:
        if self.below is None:
            return self
        most = 2**self.bits - 2
        if self.below > most:
            valid = most or "None, or bits = 2"
            raise ValueError(f"below must leave zero and the top their levels, got {self.below}; nearest valid value: {valid}")
        if self.levels_at != "ends" or self.rounding != "nearest_even":
            raise ValueError("below gives unequal steps: levels_at must be 'ends' and rounding 'nearest_even'")
        if self.low is not None and self.high is not None and not self.low < 0 < self.high:
            raise ValueError(f"below needs a range around zero, got {self.low} to {self.high}")
        return self

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

    @property
    def scope(self) -> Scope | None:
        """Of what a range that follows the data takes its extremes."""
        return None if self.range == "frozen" else self.range

    def label(self) -> str:
        """A few words for tables."""
        extent = self.scope or ("fitted" if self.low is None else f"[{self.low:g}, {self.high:g}]")
        more = ("" if self.levels_at == "ends" else f" {self.levels_at}") + ("" if self.below is None else f" {self.below} below 0")
        return f"uniform {extent}{more}"

    def observing(self) -> Observing:
        """How ``low`` and ``high`` are found."""
        symmetric = self.symmetric or self.levels_at != "ends"
        return Observing(self.observer, self.percentile, self.per_channel, symmetric)

    @made_once
    def grid(self) -> "Grid":
        """The grid of a fixed range."""
        import torch

        if self.low is None or self.high is None:
            return super().grid()
        low, high = (torch.tensor(end, dtype=torch.float32) for end in (self.low, self.high))
        return self.over(low, high)

    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid from ``low`` to ``high``; with ``below``, widened to reach both sides of zero."""
        from spikequant.numerics import affine, integers

        if self.below is not None:
            return self._split(low, high, self.below, axis)
        half = 2 ** (self.bits - 1)
        if self.levels_at == "zero":
            return affine(low, high, 2 * half - 1, axis)
        if self.levels_at == "twos":
            return integers(high / half, -half, 2 * half, axis)
        return affine(low, high, 2 * half, axis)

    def _split(self, low: "Tensor", high: "Tensor", below: int, axis: int | None) -> "Grid":
        import torch

        from spikequant.numerics import below_zero, table

        low, high = around_zero(low, high)
        above = high.unsqueeze(-1) * torch.linspace(0, 1, 2**self.bits - below, dtype=torch.float64, device=high.device)
        return table(below_zero(above, low, below), axis)


def around_zero(low: "Tensor", high: "Tensor") -> "tuple[Tensor, Tensor]":
    """A range that reaches both sides of zero, in float64: an absent side gets a thousandth of the other.

    >>> import torch
    >>> [float(end) for end in around_zero(torch.tensor(0.5), torch.tensor(2.0))]
    [-0.001953125, 2.0]
    """
    import torch

    low, high = low.double(), high.double()
    reach = torch.maximum(low.abs(), high.abs()) * 2.0**-10
    return torch.minimum(low, -reach), torch.maximum(high, reach)


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

    @made_once
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
    """Equally spaced levels with zero and the threshold among them: ``below`` of them under zero, ``above`` over the threshold.

    Equation: ``step = threshold / (2^bits - 1 - below - above)``; ``below`` is a quarter of the levels by default, ``above`` 0, which
    puts the threshold on top: for neurons that fire at ``>=`` it; those that ask for ``>`` need at least 1. With ``decay``, edges
    are such that every level leaks towards zero (``spikequant.numerics.leaking``).

    >>> from spikequant.numerics import levels
    >>> levels(Anchored(bits=2).grid()).tolist()
    [-0.5, 0.0, 0.5, 1.0]
    """

    kind: Literal["anchored"] = "anchored"
    bits: Bits
    threshold: Threshold = 1.0
    below: Annotated[int, Field(ge=0)] | None = None
    above: Annotated[int, Field(ge=0)] = 0
    decay: Decay | None = None
    rounding: Rounding = "nearest_even"

    @model_validator(mode="after")
    def _threshold_is_a_level(self) -> Self:
        most = 2**self.bits - 2
        for name, count, room in (("above", self.above, most), ("below", self.below or 0, most - self.above)):
            if count > room:
                raise ValueError(f"{name} must leave zero and the threshold their levels, got {count}; nearest valid value: {max(room, 0)}")
        if self.decay is not None and self.rounding != "nearest_even":
            raise ValueError(f"decay moves the edges between levels: rounding must be 'nearest_even', got {self.rounding!r}")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    def label(self) -> str:
        """A few words for tables."""
        return "anchored" + (f" {self.above} above" if self.above else "") + ("" if self.decay is None else " leaking")

    @made_once
    def grid(self) -> "Grid":
        """The grid."""
        from spikequant.numerics import affine, integers, leaking, levels, table

        below = anchored_below(self.bits, self.above) if self.below is None else self.below
        step = affine(0.0, self.threshold, 2**self.bits - below - self.above).step
        grid = integers(step, -below, 2**self.bits)
        return grid if self.decay is None else leaking(table(levels(grid)), self.decay)


def anchored_below(bits: int, above: int) -> int:
    """A quarter of the levels, or what zero, the threshold and those ``above`` it leave.

    >>> anchored_below(2, 0), anchored_below(4, 0), anchored_below(1, 0)
    (1, 4, 0)
    """
    levels: int = 2**bits
    return min(levels // 4, levels - 2 - above)
