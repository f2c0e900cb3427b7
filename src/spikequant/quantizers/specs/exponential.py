"""SQUAT's levels: dense at a center, exponentially sparser away from it."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.errors import SpecError
from spikequant.quantizers.specs.affine import Decay, around_zero
from spikequant.quantizers.specs.base import Bits, Observing, Percentile, RangedSpec, Scope, Threshold, made_once

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid

Base = Annotated[float, Field(gt=0, lt=1)]


class Exponential(RangedSpec):
    """Levels dense at a center and exponentially sparser away from it.

    ``range``: ``threshold``, snnTorch's fixed reach from ``-threshold (1 + lower_limit)`` to ``threshold (1 + upper_limit)``; ``frozen``,
    the extremes of the data (or their ``percentile``) once found; ``step_batch`` (the paper), ``sequence_batch`` and ``sample``, extremes
    that follow the membranes. A range from data that does not hold the center is widened to it.
    ``multiplier`` is the ratio of neighboring gaps below the center, ``upper_multiplier`` that above (the paper's a and b).

    Repairs that snnTorch lacks: ``zero`` and ``on_threshold`` move the nearest level onto zero and onto the threshold; ``below`` puts so
    many levels, equally spaced, under zero, and zero on the grid; ``decay`` sets edges so that every level leaks towards zero.
    """

    bits: Bits
    threshold: Threshold = 1.0
    lower_limit: Annotated[float, Field(gt=-1)] = 0.0
    upper_limit: Annotated[float, Field(gt=0)] = 0.2
    range: Literal["threshold", "frozen", Scope] = "threshold"
    percentile: Percentile = 100.0
    multiplier: Base | None = None
    upper_multiplier: Base | None = None
    zero: bool = False
    on_threshold: bool = False
    below: Annotated[int, Field(ge=1)] | None = None
    decay: Decay | None = None

    @model_validator(mode="after")
    def _repairs_fit(self) -> Self:
        most = 2**self.bits - 2
        if self.below is not None and self.below > most:
            valid = most or "None, or bits = 2"
            raise ValueError(f"below must leave two levels from zero up, got {self.below}; nearest valid value: {valid}")
        if self.decay is not None and not (self.zero or self.below):
            raise ValueError("decay lets every level fall to zero: set zero = true, or below")
        if self.percentile != 100 and self.range != "frozen":
            raise ValueError(f"percentile belongs to range='frozen', got {self.percentile} with {self.range!r}; nearest valid value: 100.0")
        if self.range != "threshold" and (self.lower_limit, self.upper_limit) != (0.0, 0.2):
            raise ValueError(f"lower_limit and upper_limit belong to range='threshold', got range={self.range!r}; leave them out")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    @property
    def scope(self) -> Scope | None:
        """Of what a range that follows the data takes its extremes."""
        return None if self.range == "threshold" or self.range == "frozen" else self.range

    @property
    @abstractmethod
    def center(self) -> float:
        """Where the levels are dense."""

    def observing(self) -> Observing:
        """How a frozen range is found."""
        return Observing("minmax" if self.percentile == 100 else "percentile", self.percentile)

    def label(self) -> str:
        """A few words for tables."""
        repairs = {
            "zero": self.zero,
            "on threshold": self.on_threshold,
            f"{self.below} below 0": self.below,
            "leaking": self.decay is not None,
        }
        name = self.kind.replace("_", "-") + ("" if self.range == "threshold" else f" {self.range}")
        return " ".join([name, *(repair for repair, made in repairs.items() if made)])

    def levels(self) -> "Tensor":
        """The ``2^bits`` levels of the fixed reach, ascending, in float64.

        Raises:
            SpecError: the range comes from data.
        """
        import torch

        if self.range != "threshold":
            super().grid()
        ends = -self.threshold * (1 + self.lower_limit), self.threshold * (1 + self.upper_limit)
        return self._levels(*(torch.tensor(end, dtype=torch.float64) for end in ends))

    @made_once
    def grid(self) -> "Grid":
        """The grid of the fixed reach, in float32.

        Raises:
            SpecError: levels coincide in float32, or the range comes from data.
        """
        values = self.levels().float()
        distinct = len(set(values.tolist()))
        if distinct < len(values):
            raise SpecError(
                f"{type(self).__name__}(bits={self.bits}): only {distinct} of {len(values)} levels differ in float32; "
                "use fewer bits, or a multiplier closer to 1"
            )
        return self._edged(values, None)

    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid from ``low`` to ``high``, widened to hold the center."""
        center = self.center
        return self._edged(self._levels(low.double().clamp(max=center), high.double().clamp(min=center)).float(), axis)

    def _levels(self, low: "Tensor", high: "Tensor") -> "Tensor":
        import torch

        from spikequant.numerics import Bases, anchored, below_zero, exponential_levels

        bases = Bases(self.multiplier, self.multiplier if self.upper_multiplier is None else self.upper_multiplier)
        count = 2**self.bits
        if self.below is None:
            levels = exponential_levels(count, low, high, self.center, bases)
        else:
            low, high = around_zero(low, high)
            # From zero up, zero itself a level even where it is the center.
            above = exponential_levels(count - self.below - (self.center == 0), torch.zeros_like(high), high, self.center, bases)
            above = torch.cat([torch.zeros_like(above[..., :1]), above], dim=-1) if self.center == 0 else above
            levels = below_zero(above, low, self.below)
        return anchored(levels, self.zero or self.below is not None, self.threshold if self.on_threshold else None)

    def _edged(self, levels: "Tensor", axis: int | None) -> "Grid":
        from spikequant.numerics import leaking, table

        grid = table(levels, axis)
        return grid if self.decay is None else leaking(grid, self.decay)


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
