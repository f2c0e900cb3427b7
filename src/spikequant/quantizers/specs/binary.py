"""Two levels."""

from typing import Literal

from spikequant.quantizers.specs.base import QuantizerSpec


class Binary(QuantizerSpec):
    """Two levels, ``-scale`` and ``+scale``; zero becomes ``+scale``.

    ``scale``: ``one``, or ``mean``, the mean magnitude of each output channel (XNOR-Net). ``gradient``: ``unit`` passes it where
    ``|x| <= 1``, whatever the scale (BinaryConnect); a membrane masks it outside its levels.

    >>> Binary().width
    1
    """

    kind: Literal["binary"] = "binary"
    rounding: Literal["nearest_even"] = "nearest_even"
    scale: Literal["one", "mean"] = "mean"
    gradient: Literal["pass", "mask", "unit"] = "unit"  # type: ignore[assignment]

    @property
    def width(self) -> int:
        """Bits of one code."""
        return 1

    def label(self) -> str:
        """A few words for tables."""
        return "binary"
