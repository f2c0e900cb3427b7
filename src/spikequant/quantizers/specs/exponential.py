"""SQUAT's levels: dense at a center, exponentially sparser away from it."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from spikequant.errors import SpecError
from spikequant.quantizers.specs.base import Bits, QuantizerSpec, Threshold

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid


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
