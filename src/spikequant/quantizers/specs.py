"""The specs: one frozen description for each method of choosing a grid."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, cast

from pydantic import Field, model_validator

from spikequant.errors import SpecError
from spikequant.quantizers.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid
    from spikequant.quantizers.modules import Quantizer

Bits = Annotated[int, Field(ge=1, le=16)]
End = Annotated[float, Field(ge=-1e30, le=1e30)]
Threshold = Annotated[float, Field(ge=1e-30, le=1e30)]
LevelsAt = Literal["ends", "zero", "twos"]
Rounding = Literal["nearest_even", "half_up", "truncate", "stochastic"]
Gradient = Literal["pass", "mask"]
Observer = Literal["minmax", "percentile", "mean_square"]


class Observing(NamedTuple):
    """How the range of a fitted grid is read off data."""

    observer: Observer = "minmax"
    percentile: float = 100.0
    per_channel: bool = False
    symmetric: bool = False


class QuantizerSpec(Spec):
    """A wanted grid. ``grid()`` answers where the spec alone fixes it; ``build(shape)`` makes the module that owns the rest."""

    version: Literal[1] = 1
    kind: str
    rounding: str = "nearest_even"
    gradient: Gradient = "pass"

    @property
    def rounding_rule(self) -> Rounding:
        """The rounding by its name in ``spikequant.numerics``: Q-SpiNN's ``nearest`` is half up (its Eq. 4)."""
        return "half_up" if self.rounding == "nearest" else cast(Rounding, self.rounding)

    @property
    @abstractmethod
    def width(self) -> int | None:
        """Bits of one code; None where only data can tell."""

    @abstractmethod
    def label(self) -> str:
        """A few words for tables."""

    def grid(self) -> "Grid":
        """The grid, where the spec alone fixes it.

        Raises:
            SpecError: the range is not fixed.
        """
        raise SpecError(f"the grid of {self.label()} depends on data; quantize a model with it, or give a fixed range")

    def build(self, shape: tuple[int, ...], axis: int = 0) -> "Quantizer":
        """The module that owns this grid for one tensor of ``shape`` with its channels along ``axis``."""
        from spikequant.quantizers.table import MODULES

        return MODULES[self.kind](self, shape, axis)


class RangedSpec(QuantizerSpec):
    """A grid that follows from the range of its values."""

    @abstractmethod
    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid for values from ``low`` to ``high``: scalars, or ``[channel]`` along ``axis``."""

    def observing(self) -> Observing:
        """How ``low`` and ``high`` are found."""
        return Observing()


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


class LQNet(QuantizerSpec):
    """LQ-Net: levels are all signed sums of ``bits`` basis values per output channel, fitted at every training step.

    ``clip`` bounds the weights before they are assigned (Beyond Accuracy's narrow 1 and wide 10; what clipping means there is
    uncertain); ``debiased`` corrects the moving average as the released code does; ``start`` ``paper`` takes the He deviation
    of ``fan``, ``mse_uniform`` the best uniform grid. Source: LQ-Nets (Zhang et al. 2018); Beyond Accuracy, section 3.2.

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
    start: Literal["paper", "mse_uniform"] = "paper"

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


class Exponential(QuantizerSpec):
    """Levels dense at a center and exponentially sparser away from it.

    They reach from ``-threshold (1 + lower_limit)`` to ``threshold (1 + upper_limit)``.
    """

    bits: Bits
    threshold: Threshold = 1.0
    lower_limit: Annotated[float, Field(gt=-1)] = 0.0
    upper_limit: Annotated[float, Field(gt=0)] = 0.2
    multiplier: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    @property
    @abstractmethod
    def center(self) -> float:
        """Where the levels are dense."""

    def levels(self) -> "Tensor":
        """The ``2^bits`` levels, ascending, in float64."""
        from spikequant.numerics import exponential_levels

        low, high = -self.threshold * (1 + self.lower_limit), self.threshold * (1 + self.upper_limit)
        return exponential_levels(self.bits, low, high, self.center, self.multiplier)

    def grid(self) -> "Grid":
        """The grid of these levels, in float32.

        Raises:
            SpecError: levels coincide in float32.
        """
        from spikequant.numerics import table

        values = self.levels().float()
        distinct = len(set(values.tolist()))
        if distinct < len(values):
            raise SpecError(
                f"{type(self).__name__}(bits={self.bits}): only {distinct} of {len(values)} levels differ in float32; "
                "use fewer bits, or a multiplier closer to 1"
            )
        return table(values)


class ThresholdCentered(Exponential):
    """SQUAT's exponential levels, dense at the threshold.

    Source: SQUAT, section III-A.2, in the operational form of snnTorch's ``state_quant``.

    >>> [round(level, 6) for level in ThresholdCentered(bits=2).levels().tolist()]
    [-1.0, 0.801802, 0.981982, 1.2]
    """

    kind: Literal["threshold_centered"] = "threshold_centered"
    rounding: Literal["nearest_even"] = "nearest_even"

    @property
    def center(self) -> float:
        """The threshold."""
        return self.threshold

    def label(self) -> str:
        """A few words for tables."""
        return "threshold-centered"


class ZeroCentered(Exponential):
    """SQUAT's exponential levels, dense at zero.

    >>> [round(level, 6) for level in ZeroCentered(bits=2).levels().tolist()]
    [-1.0, 0.010811, 0.118919, 1.2]
    """

    kind: Literal["zero_centered"] = "zero_centered"
    rounding: Literal["nearest_even"] = "nearest_even"

    @property
    def center(self) -> float:
        """Zero."""
        return 0.0

    def label(self) -> str:
        """A few words for tables."""
        return "zero-centered"


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


class Binary(QuantizerSpec):
    """Two levels, ``-scale`` and ``+scale``; zero becomes ``+scale``.

    ``scale``: ``one``, or ``mean``, the mean magnitude of each output channel (XNOR-Net).

    >>> Binary().width
    1
    """

    kind: Literal["binary"] = "binary"
    rounding: Literal["nearest_even"] = "nearest_even"
    scale: Literal["one", "mean"] = "mean"
    gradient: Gradient = "mask"

    @property
    def width(self) -> int:
        """Bits of one code."""
        return 1

    def label(self) -> str:
        """A few words for tables."""
        return "binary"


AnySpec = Annotated[Uniform | FixedPoint | LQNet | LSQ | ThresholdCentered | ZeroCentered | Anchored | Binary, Field(discriminator="kind")]
