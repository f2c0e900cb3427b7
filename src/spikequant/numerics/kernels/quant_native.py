"""The CPU twins of ``snap``, ``fit_basis`` and ``level_sums``: C over the rows of a tensor, each with a grid of its own."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from spikequant.numerics.grid import Affine, Grid, Table, bounds
from spikequant.numerics.kernels.lif_native import ROUNDING, SERIAL_BELOW, Spec, pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.lq import solve_basis, sorted_levels
from spikequant.numerics.rounding import Rounding
from spikequant.numerics.snap import Gradient, encode

MOST_LEVELS = 2**16
MOST_BITS = 8
AFFINE, TABLE = 1, 2
CODES = {**ROUNDING, "stochastic": 3}


class Rows(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("rows", "columns")],
        *[(name, ctypes.c_void_p) for name in ("step", "lowest", "shift", "levels", "low", "high", "noise")],
        ("period", ctypes.c_int64),
    ]


def fits(grid: Grid, x: Tensor, rounding: Rounding, gradient: Gradient, noise: Tensor | None) -> bool:
    """Whether the twin covers this snap: dense float32 on the CPU, one grid or one for each entry of axis 0, no learned step."""
    if not is_dense(x) or library() is None or gradient not in ("pass", "mask") or not _has_its_noise(x, rounding, noise):
        return False
    is_whole = grid.levels.ndim == 1 if isinstance(grid, Table) else grid.step.ndim == 0
    if not is_whole and not (grid.axis == 0 and x.ndim > 0 and order_of(x)[0] == 0):
        return False
    rows = () if is_whole else x.shape[:1]
    return (_is_table(grid, rows, rounding) if isinstance(grid, Table) else _is_affine(grid, rows, rounding)) and _spreads(grid)


def fits_basis(weights: Tensor, basis: Tensor) -> bool:
    """Whether the twin covers this fit: contiguous float32 rows on the CPU, up to 8 bits, no gradient."""
    if not is_dense(weights) or weights.ndim != 2 or not weights.is_contiguous() or library() is None:
        return False
    if basis.device.type != "cpu" or basis.ndim != 2 or basis.shape[0] != weights.shape[0] or not 1 <= basis.shape[1] <= MOST_BITS:
        return False
    if torch.is_grad_enabled() and (weights.requires_grad or basis.requires_grad):
        return False
    return bool(torch.isfinite(basis.float().abs().sum(1)).all())


def snap(grid: Grid, x: Tensor, rounding: Rounding = "nearest_even", gradient: Gradient = "pass", noise: Tensor | None = None) -> Tensor:
    """The twin of ``spikequant.numerics.snap.snap``, for calls that it ``fits``."""
    snapped: Tensor = _Snap.apply(x, grid, rounding, gradient, noise)  # type: ignore[no-untyped-call]
    return snapped


def fit_basis(weights: Tensor, basis: Tensor, ridge: float = 1e-4) -> Tensor:
    """The twin of ``spikequant.numerics.lq.fit_basis``, for calls that it ``fits_basis``."""
    return solve_basis(*equations(ready(), weights, basis), basis, ridge)


def equations(c: ctypes.CDLL, weights: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """``B'B`` and ``B'w`` of the sign patterns B that the weights take."""
    (rows, columns), bits = weights.shape, basis.shape[1]
    levels, order = sorted_levels(basis)
    normal = torch.empty(rows, bits, bits, dtype=torch.float64, device="cpu")
    target = torch.empty(rows, bits, dtype=torch.float64, device="cpu")
    places = (each.data_ptr() for each in (weights, levels, order, normal, target))
    if declared(c).sq_lq_equations(rows, columns, bits, *places, threads_for(weights)):
        encode(Table(levels, 0), weights)  # refuses NaN, and says how many
    return normal, target


def fits_levels(values: Tensor, levels: Tensor) -> bool:
    """Whether the twin covers these sums: dense float32 on the CPU, up to 256 ascending levels that are apart."""
    usual = is_dense(values) and levels.dtype == torch.float32 and levels.device.type == "cpu" and 2 <= len(levels) <= 2**MOST_BITS
    return usual and library() is not None and bool((levels.diff() > 0).all()) and _spreads(Table(levels))


def level_sums(values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The twin of ``spikequant.numerics.lloyd.level_sums``, for calls that it ``fits_levels``: sums of chunks, to rounding."""
    return run_level_sums(ready(), values, levels)


def run_level_sums(c: ctypes.CDLL, values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """``level_sums`` by a library."""
    declared(c)
    ascending = levels.contiguous()
    count, total = torch.empty(2, c.sq_level_chunks(values.numel()), len(levels), dtype=torch.float64, device="cpu")
    places = (each.data_ptr() for each in (values, ascending, count, total))
    if c.sq_level_sums(values.numel(), len(levels), *places, threads_for(values)):
        encode(Table(levels), values)  # refuses NaN, and says how many
    return count.sum(0), total.sum(0)


def is_dense(x: Tensor) -> bool:
    """Whether this is float32 on the CPU, without gaps, in any order of its axes."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or x.numel() == 0:
        return False
    return x.permute(order_of(x)).is_contiguous()


def _has_its_noise(x: Tensor, rounding: Rounding, noise: Tensor | None) -> bool:
    """Whether there is noise exactly where the rounding takes it, and as the twin takes it."""
    if rounding != "stochastic":
        return noise is None
    return noise is not None and noise.shape == x.shape and noise.dtype == torch.float32 and noise.device == x.device


def order_of(x: Tensor) -> tuple[int, ...]:
    """The axes as they lie in memory."""
    return tuple(sorted(range(x.ndim), key=x.stride, reverse=True))


def _is_table(grid: Table, rows: tuple[int, ...], rounding: Rounding) -> bool:
    levels = grid.levels
    if levels.device.type != "cpu" or levels.dtype != torch.float32 or levels.shape[:-1] != rows or grid.edges is not None:
        return False
    return rounding == "nearest_even" and grid.size <= MOST_LEVELS


def _is_affine(grid: Affine, rows: tuple[int, ...], rounding: Rounding) -> bool:
    if any(each.device.type != "cpu" or each.dtype != torch.float32 or each.shape != rows for each in grid[:3]):
        return False
    return rounding in CODES and grid.size <= MOST_LEVELS and not grid.step.requires_grad


def _spreads(grid: Grid) -> bool:
    """Whether every grid has two levels at least, and finite ones: no step is zero or NaN."""
    low, high = bounds(grid)
    spread = high - low
    return bool(((spread > 0) & (spread < torch.inf)).all())


def ready() -> ctypes.CDLL:
    """The library, for calls that ask for it after ``fits``."""
    c = library()
    assert c is not None, "fits() asked for it"
    return declared(c)


@functools.cache
def declared(c: ctypes.CDLL) -> ctypes.CDLL:
    """The library, told what its functions take."""
    place, count, whole = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    c.sq_snap.argtypes, c.sq_snap.restype = [place] * 6 + [whole], count
    c.sq_mask.argtypes = [count, place, place, place, whole]
    c.sq_level_chunks.argtypes, c.sq_level_chunks.restype = [count], count
    c.sq_level_sums.argtypes, c.sq_level_sums.restype = [count, whole, *[place] * 4, whole], count
    c.sq_lq_equations.argtypes, c.sq_lq_equations.restype = [count, count, whole, *[place] * 5, whole], count
    return c


def threads_for(x: Tensor) -> int:
    """How many threads pay for this many values."""
    return torch.get_num_threads() if x.numel() >= SERIAL_BELOW else 1


def laid_as(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory for a result, laid out as ``x``."""
    order = order_of(x)
    return empty(x.permute(order).shape, dtype).permute([order.index(axis) for axis in range(x.ndim)])


def snapped(c: ctypes.CDLL, x: Tensor, grid: Grid, rounding: Rounding, inside: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
    """``x`` on the grid; ``inside`` is filled in."""
    values: dict[str, Tensor] = {"levels": grid.levels} if isinstance(grid, Table) else dict(zip(grid._fields, grid[:3], strict=False))
    if inside is not None:
        values["low"], values["high"] = bounds(grid)
    if noise is not None:
        values["noise"] = _once(x, noise)
    values = {name: each.detach().contiguous() for name, each in values.items()}
    is_table = isinstance(grid, Table)
    rows = x.shape[0] if (values["levels"].ndim == 2 if is_table else values["step"].ndim == 1) else 1
    call = Rows(rows, x.numel() // rows, **{name: each.data_ptr() for name, each in values.items()})
    call.period = values["noise"].numel() if noise is not None else 0
    spec = Spec(grid=TABLE if is_table else AFFINE, rounding=CODES[rounding], size=grid.size)
    middles = torch.empty(rows * (grid.size - 1) if is_table else 0, dtype=torch.float32, device="cpu")
    result = laid_as(x)
    tensors = (pointer(each) for each in (x, result, inside, middles))
    if declared(c).sq_snap(ctypes.byref(spec), ctypes.byref(call), *tensors, threads_for(x)):
        encode(grid, x)  # refuses NaN, and says how many
    return result


def _once(x: Tensor, noise: Tensor) -> Tensor:
    """The noise as ``x`` lies in memory; that of one sample where all samples share it."""
    laid = noise.permute(order_of(x))
    return laid[0] if laid.ndim and laid.stride(0) == 0 else laid


class _Snap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid, rounding: Rounding, gradient: Gradient, noise: Tensor | None) -> Tensor:
        ctx.inside = torch.empty_like(x, dtype=torch.bool) if gradient == "mask" and ctx.needs_input_grad[0] else None
        return snapped(ready(), x, grid, rounding, ctx.inside, noise)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        return gradient if ctx.inside is None else masked(gradient, ctx.inside), None, None, None, None


def masked(gradient: Tensor, inside: Tensor) -> Tensor:
    """The gradient where ``inside``, else zero; its own derivative is the same."""
    kept: Tensor = _Mask.apply(gradient, inside)  # type: ignore[no-untyped-call]
    return kept


class _Mask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, inside: Tensor) -> Tensor:
        ctx.inside = inside
        order = order_of(inside)
        values, kept = gradient.permute(order).contiguous(), laid_as(inside)
        tensors = (pointer(each) for each in (values, inside, kept))
        ready().sq_mask(values.numel(), *tensors, threads_for(values))
        return kept

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return masked(gradients[0], ctx.inside), None
