"""Levels for membranes, fitted to them while the network trains and anchored at rest and threshold."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.quantizers.specs.affine import anchored_below
from spikequant.quantizers.specs.base import QuantizerSpec, Threshold


class Membrane(QuantizerSpec):
    """Levels of membranes: zero and the threshold are held, those between and below move to the means of what is rounded to them.

    They start from ``Anchored`` with as many levels ``below`` zero (a quarter by default), and the means are pooled over samples,
    channels and time steps, so one grid serves every step. ``fit``: ``following``, after calibration a moving average of the means
    of every training batch, which keeps ``average`` of what it was; ``calibrated``, from calibration data alone. Without
    ``anchors`` all levels move: mean-square levels (Lloyd and Max).

    Source: ours, for the learned membrane grids that Beyond Accuracy, section 3.3, leaves open; ``docs/decisions/0044``.

    >>> Membrane(bits=2).label()
    'membrane levels following'
    """

    kind: Literal["membrane"] = "membrane"
    rounding: Literal["nearest_even"] = "nearest_even"
    bits: Annotated[int, Field(ge=2, le=8)]
    threshold: Threshold = 1.0
    below: Annotated[int, Field(ge=0)] | None = None
    fit: Literal["following", "calibrated"] = "following"
    average: Annotated[float, Field(ge=0, lt=1)] = 0.9
    anchors: bool = True

    @model_validator(mode="after")
    def _anchors_have_room(self) -> Self:
        most = 2**self.bits - 2
        if self.below is not None and self.below > most:
            raise ValueError(f"below must leave zero and the threshold their levels, got {self.below}; nearest valid value: {most}")
        return self

    @property
    def width(self) -> int:
        """Bits of one code."""
        return self.bits

    @property
    def lower(self) -> int:
        """Levels below zero."""
        return anchored_below(self.bits, 0) if self.below is None else self.below

    def stored_bits(self, channels: int) -> int:
        """The levels, once for a layer."""
        return 32 << self.bits

    def label(self) -> str:
        """A few words for tables."""
        return f"membrane levels {self.fit}" + ("" if self.anchors else ", no anchors")
