"""What every spec of a grid answers."""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar, cast

from pydantic import Field

from spikequant.errors import SpecError
from spikequant.quantizers.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from spikequant.numerics import Grid
    from spikequant.quantizers.modules import Quantizer

Bits = Annotated[int, Field(ge=1, le=16)]
Threshold = Annotated[float, Field(ge=1e-30, le=1e30)]
Rounding = Literal["nearest_even", "half_up", "truncate", "stochastic"]
Gradient = Literal["pass", "mask"]
Observer = Literal["minmax", "percentile", "mean_square"]
Scope = Literal["step_batch", "sequence_batch", "sample"]
Percentile = Annotated[float, Field(gt=50, le=100)]


S = TypeVar("S", bound=Spec)


def made_once(grid: "Callable[[S], Grid]") -> "Callable[[S], Grid]":
    """A method ``grid`` that computes the grid of equal specs once; the tensors are shared, and nobody changes them."""

    @functools.lru_cache(maxsize=256)
    def made(spec: S) -> "Grid":
        import torch

        # Whatever mode the first call came in, the answer holds for the whole process.
        with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
            return grid(spec)

    @functools.wraps(grid)
    def give(self: S) -> "Grid":
        return made(self)

    return give


class Observing(NamedTuple):
    """How the range of a fitted grid is read off data."""

    observer: Observer = "minmax"
    percentile: float = 100.0
    per_channel: bool = False
    symmetric: bool = False


class QuantizerSpec(Spec):
    """A wanted grid. ``grid()`` answers where the spec alone fixes it; ``build(shape)`` makes the module that owns the rest.

    A spec of one's own: ``docs/how-to/add-a-quantizer.md``.
    """

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

    @property
    def uncertain(self) -> bool:
        """Whether the method's source says so little that this is our reading of it."""
        return False

    @property
    def scope(self) -> Scope | None:
        """Of what a range that follows the data takes its extremes in every forward pass; None where it stands still."""
        return None

    @property
    def batch_dependent(self) -> bool:
        """Whether the samples of a batch change each other's grid: such a grid is for study, and cannot be exported."""
        return self.scope in ("step_batch", "sequence_batch")

    def stored_bits(self, channels: int) -> int:
        """Bits that the grid itself takes beside its codes, for a tensor of so many channels: step and offset in float."""
        return 64 * (channels if getattr(self, "per_channel", False) else 1)

    def grid(self) -> "Grid":
        """The grid, where the spec alone fixes it.

        Raises:
            SpecError: the range is not fixed.
        """
        raise SpecError(f"the grid of {self.label()} depends on data; quantize a model with it, or give a fixed range")

    def build(self, shape: tuple[int, ...], axis: int = 0) -> "Quantizer":
        """The module that owns this grid for one tensor of ``shape`` with its channels along ``axis``."""
        from spikequant.quantizers.table import MODULES, default

        return MODULES.get(self.kind, default)(self, shape, axis)


class RangedSpec(QuantizerSpec):
    """A grid that follows from the range of its values."""

    @abstractmethod
    def over(self, low: "Tensor", high: "Tensor", axis: int | None = None) -> "Grid":
        """The grid for values from ``low`` to ``high``: scalars, or ``[channel]`` along ``axis``."""

    def observing(self) -> Observing:
        """How ``low`` and ``high`` are found."""
        return Observing()
