"""Grids: the finite sets of numbers that hardware can hold, as plain float32 tensors, whatever the dtype of what is snapped."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics.soundness import holds


class Affine(NamedTuple):
    """Equally spaced levels ``step * (code + lowest + shift)`` for ``code`` in ``0 .. size - 1``.

    ``code + lowest`` is the signed integer that hardware multiplies; ``shift`` in (-0.5, 0.5] is what no integer
    can express: 0 where zero is a level, 0.5 for mid-rise grids.

    Shapes: ``step``, ``lowest`` and ``shift`` are scalars, or ``[channel]`` with ``axis`` the channel axis of the
    tensor that is quantized.
    """

    step: Tensor
    lowest: Tensor
    shift: Tensor
    size: int
    axis: int | None = None


class Table(NamedTuple):
    """Any ascending levels: ``[level]`` for a whole tensor, ``[channel, level]`` with the channel ``axis``.

    ``edges``: where the level changes, ``[level - 1]`` or ``[channel, level - 1]``, an edge belonging to the level below it; None is
    half way.
    """

    levels: Tensor
    axis: int | None = None
    edges: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of levels."""
        return self.levels.shape[-1]


Grid = Affine | Table


def affine(low: Tensor | float, high: Tensor | float, count: int, axis: int | None = None) -> Affine:
    """The grid of ``count`` equally spaced levels from ``low`` to ``high``, both ends included.

    Equation: ``step = (high - low) / (count - 1)``.

    Raises:
        SpecError: a range that is empty, reversed or not finite, or fewer than two levels. Ends on a GPU are not looked at: that would
            wait for it in every step.

    >>> levels(affine(-1.0, 1.0, 4)).tolist()
    [-1.0, -0.3333333432674408, 0.3333333432674408, 1.0]
    """
    # float64: in float32 the zero of a symmetric range would miss its level by a rounding error.
    low, high = (torch.as_tensor(end, dtype=torch.float32).double() for end in (low, high))
    step = ((high - low) / (count - 1) if count > 1 else torch.zeros_like(low)).float()
    if step.device.type == "cpu" and not all(0 < each < math.inf for each in step.flatten().tolist()):
        raise SpecError(
            f"a grid needs at least 2 levels and a finite range, low below high, got {count} levels "
            f"from {low.flatten()[:8].tolist()} to {high.flatten()[:8].tolist()}"
        )
    origin = low * (count - 1) / (high - low)
    lowest = torch.ceil(origin - 0.5)
    shift = (origin - lowest).float()
    top = (lowest + (count - 1)).float() + shift
    # Two rounding errors could leave the top level a hair below ``high``: a membrane at its rail would then never fire.
    for _ in range(2):
        step = torch.where((step * top < high) & (top > 0), torch.nextafter(step, torch.full_like(step, torch.inf)), step)
    return Affine(step, lowest.float(), shift, count, axis)


def integers(step: Tensor | float, lowest: int, count: int, axis: int | None = None) -> Affine:
    """The grid of the multiples ``step * lowest, ..., step * (lowest + count - 1)``: zero is a level.

    >>> levels(integers(0.5, -2, 4)).tolist()
    [-1.0, -0.5, 0.0, 0.5]
    """
    step = torch.as_tensor(step, dtype=torch.float32)
    return Affine(step, torch.full_like(step, lowest), torch.zeros_like(step), count, axis)


def table(values: Tensor, axis: int | None = None) -> Table:
    """The grid of these levels, sorted.

    Raises:
        SpecError: a level is not finite.
    """
    if not holds(torch.isfinite(values)):
        raise SpecError(f"a level of the grid is not finite: {values.flatten()[:8].tolist()}; give finite levels")
    return Table(values.float().sort(dim=-1).values, axis)


def levels(grid: Grid) -> Tensor:
    """All levels, ascending: ``[level]``, or ``[channel, level]``."""
    if isinstance(grid, Table):
        return grid.levels
    codes = torch.arange(grid.size, device=grid.step.device)
    return grid.step.unsqueeze(-1) * (codes + grid.lowest.unsqueeze(-1) + grid.shift.unsqueeze(-1))


def bounds(grid: Grid) -> tuple[Tensor, Tensor]:
    """Lowest and highest level: scalars, or ``[channel]``."""
    if isinstance(grid, Table):
        return grid.levels[..., 0], grid.levels[..., -1]
    return grid.step * (grid.lowest + grid.shift), grid.step * (grid.size - 1 + grid.lowest + grid.shift)


def unit(grid: Grid) -> Tensor | None:
    """What every level is a whole multiple of: the step, or half of it where zero lies between two levels; else None.

    >>> unit(integers(0.5, -2, 4)), unit(affine(-1.0, 1.0, 3)._replace(shift=torch.tensor(0.5))), unit(table(torch.tensor([0.1, 0.3])))
    (tensor(0.5000), tensor(0.5000), None)
    """
    if isinstance(grid, Table):
        return None
    if holds(grid.shift == 0):
        return grid.step
    return grid.step / 2 if holds(grid.shift == 0.5) else None


def to(grid: Grid, like: Tensor) -> Grid:
    """The same grid on the device of ``like``."""
    if isinstance(grid, Table):
        return grid._replace(levels=grid.levels.to(like.device), edges=None if grid.edges is None else grid.edges.to(like.device))
    step, lowest, shift = (value.to(like.device) for value in grid[:3])
    return grid._replace(step=step, lowest=lowest, shift=shift)


def along(value: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """``value`` shaped so that it broadcasts over ``x``, its entries along ``axis``, which may count from the end."""
    if axis is None or value.ndim == 0:
        return value
    if not -x.ndim <= axis < x.ndim or value.shape[0] != x.shape[axis]:
        raise MismatchError(
            f"a grid of {value.shape[0]} channels cannot quantize axis {axis} of a tensor of shape {tuple(x.shape)}; "
            "build the quantizer for this shape"
        )
    return value.reshape([-1 if index == axis % x.ndim else 1 for index in range(x.ndim)])
