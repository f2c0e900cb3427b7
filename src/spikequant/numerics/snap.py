"""encode, decode and snap: between real numbers and the codes of a grid, with straight-through gradients."""

from typing import Any, Literal

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics.grid import Affine, Grid, Table, along, bounds, levels, to
from spikequant.numerics.rounding import Rounding, round_to_integer
from spikequant.numerics.soundness import has_nan

Gradient = Literal["pass", "mask", "stacked"]
TEMPERATURE = 2.0


def encode(grid: Grid, x: Tensor, rounding: Rounding = "nearest_even", noise: Tensor | None = None) -> Tensor:
    """The codes of ``x`` on the grid, as int32 of its shape; what lies outside saturates.

    Equations: affine, ``clip(round(x / step - shift) - lowest, 0, size - 1)``; table, the number of midpoints (or of its own edges)
    below ``x``, so that a value on one takes the lower level (as LQ-Net and SQUAT do).

    Raises:
        SpecError: ``x`` holds NaN, or the rounding does not fit the grid.

    >>> from spikequant.numerics.grid import affine
    >>> encode(affine(-1.0, 1.0, 4), torch.tensor([-7.0, -0.4, 0.0, 0.7])).tolist()
    [0, 1, 2, 3]
    """
    if has_nan(x):
        raise SpecError(f"cannot quantize NaN: {int(torch.isnan(x).sum())} of {x.numel()} values are NaN; find where they arise")
    grid = to(grid, x)
    if isinstance(grid, Table):
        if rounding != "nearest_even":
            raise SpecError(f"rounding {rounding!r} does not fit a table of levels; use 'nearest_even'")
        return _nearest_level(grid, x)
    return _affine_code(grid, x, rounding, noise)


def decode(grid: Grid, code: Tensor) -> Tensor:
    """The levels of these codes: the inverse of ``encode`` on the grid."""
    if isinstance(grid, Affine):
        step, lowest, shift = (along(value, code, grid.axis) for value in grid[:3])
        return step * (code + lowest + shift)
    if grid.levels.ndim == 1:
        return grid.levels[code.long()]
    rows = _rows(code, grid)
    return _unrows(grid.levels.gather(1, rows.long()), code, grid)


def snap(grid: Grid, x: Tensor, rounding: Rounding = "nearest_even", gradient: Gradient = "pass", noise: Tensor | None = None) -> Tensor:
    """``decode(encode(x))`` with a straight-through gradient; dtype and device of ``x`` are kept.

    Equations: ``dy/dx = 1`` (``pass``), ``1 where low <= x <= high, else 0`` (``mask``), or the sum over midpoints m between levels a
    ``gap`` apart of ``2 s (1 - s)``, ``s = sigmoid(2 (x - m) / gap)`` (``stacked``; SpQuant-SNN, the authors' code).
    Where the step of an affine grid asks for a gradient (LSQ, Eq. 3): ``dy/dstep = (y - x) / step`` inside, ``y / step`` outside.

    >>> from spikequant.numerics.grid import affine
    >>> x = torch.tensor([-2.0, 0.2], requires_grad=True)
    >>> snap(affine(-1.0, 1.0, 3), x, gradient="mask").sum().backward()
    >>> x.grad.tolist()
    [0.0, 1.0]
    """
    if gradient not in ("pass", "mask", "stacked"):
        raise SpecError(f"gradient must be 'pass', 'mask' or 'stacked', got {gradient!r}")
    step = grid.step if isinstance(grid, Affine) else None
    snapped: Tensor = _Snap.apply(x, step, to(grid, x), rounding, gradient, noise)  # type: ignore[no-untyped-call]
    return snapped


def through(value: Tensor, x: Tensor) -> Tensor:
    """``value`` itself, its gradient passed straight on to ``x``.

    >>> x = torch.tensor(1.6, requires_grad=True)
    >>> through(x.floor(), 3 * x).backward()
    >>> x.grad.item()
    3.0
    """
    passed: Tensor = _Through.apply(value, x)  # type: ignore[no-untyped-call]
    return passed


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, x: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0]


class _Snap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor | None, grid: Grid, rounding: Rounding, gradient: Gradient, noise: Tensor | None
    ) -> Tensor:
        snapped = decode(grid, encode(grid, x, rounding, noise)).to(x.dtype)
        ctx.learned = step is not None and step.requires_grad
        ctx.inside = _inside(grid, x) if gradient == "mask" or ctx.learned else None
        ctx.masked, ctx.axis = gradient == "mask", grid.axis
        ctx.slope = stacked(grid, x) if gradient == "stacked" else None
        ctx.save_for_backward(*((x, snapped, step) if ctx.learned else ()))
        return snapped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None, None]:
        (gradient,) = gradients
        to_step = _step_gradient(gradient, ctx.inside, ctx.axis, *ctx.saved_tensors) if ctx.learned else None
        if ctx.slope is not None:
            return gradient * ctx.slope, to_step, None, None, None, None
        return gradient * ctx.inside if ctx.masked else gradient, to_step, None, None, None, None


def _inside(grid: Grid, x: Tensor) -> Tensor:
    low, high = (along(bound, x, grid.axis).to(x.dtype) for bound in bounds(grid))
    return (x >= low) & (x <= high)


def stacked(grid: Grid, x: Tensor) -> Tensor:
    """The slope that ``gradient="stacked"`` takes at ``x``."""
    slope = torch.zeros_like(x)
    for middle, gap in zip(midpoints(grid).unbind(-1), levels(grid).diff(dim=-1).unbind(-1), strict=True):
        s = torch.sigmoid(TEMPERATURE * (x - along(middle, x, grid.axis)) / along(gap, x, grid.axis))
        slope += (TEMPERATURE * s * (1 - s)).to(x.dtype)
    return slope


def _step_gradient(gradient: Tensor, inside: Tensor, axis: int | None, x: Tensor, snapped: Tensor, step: Tensor) -> Tensor:
    slope = torch.where(inside, snapped - x, snapped) / along(step, x, axis).to(x)
    each = gradient * slope
    total = each.sum() if step.ndim == 0 else each.movedim(axis or 0, 0).reshape(step.shape[0], -1).sum(1)
    return total.to(step)


def _affine_code(grid: Affine, x: Tensor, rounding: Rounding, noise: Tensor | None) -> Tensor:
    step, lowest, shift = (along(value, x, grid.axis) for value in grid[:3])
    quotient = _widened(x) / step - shift
    closest = (torch.round(quotient) - lowest).clamp(0, grid.size - 1).to(torch.int32)
    if rounding == "nearest_even":
        return closest
    # A level stays a level, though its quotient by the step may miss the whole number by a rounding error.
    level = decode(grid, closest).to(x.dtype)
    if rounding == "truncate":
        return (closest - (level > x).to(torch.int32)).clamp(min=0)
    code = (round_to_integer(quotient, rounding, noise) - lowest).clamp(0, grid.size - 1)
    return torch.where(level == x, closest, code.to(torch.int32))


def _nearest_level(grid: Table, x: Tensor) -> Tensor:
    wide = _widened(x).contiguous()
    middles = midpoints(grid).to(wide.dtype)
    if middles.ndim == 1:
        return torch.bucketize(wide, middles, out_int32=True)
    return _unrows(torch.searchsorted(middles, _rows(wide, grid), out_int32=True), x, grid)


def _widened(x: Tensor) -> Tensor:
    """Half types hold neither the codes nor the quotients of 8 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def midpoints(grid: Grid) -> Tensor:
    """Where the level changes: ``[level - 1]`` or ``[channel, level - 1]``; a table's own edges, or averages in float64."""
    if isinstance(grid, Table) and grid.edges is not None:
        return grid.edges
    values = levels(grid)
    wide = values.double()
    middles = ((wide[..., 1:] + wide[..., :-1]) / 2).to(values.dtype)
    # Between neighboring floats the average rounds to either; on the upper one, that level could never be reached.
    below_upper = torch.nextafter(values[..., 1:], torch.full_like(middles, -torch.inf))
    return torch.minimum(middles, below_upper)


def _rows(x: Tensor, grid: Table) -> Tensor:
    """``x`` as ``[channel, element]``."""
    axis = grid.axis or 0
    if not -x.ndim <= axis < x.ndim or x.shape[axis] != grid.levels.shape[0]:
        raise MismatchError(
            f"a table of {grid.levels.shape[0]} channels cannot quantize axis {axis} of a tensor of shape {tuple(x.shape)}; "
            "build the quantizer for this shape"
        )
    return x.movedim(axis, 0).reshape(x.shape[axis], -1).contiguous()


def _unrows(rows: Tensor, like: Tensor, grid: Table) -> Tensor:
    axis = grid.axis or 0
    return rows.reshape(like.movedim(axis, 0).shape).movedim(0, axis)
