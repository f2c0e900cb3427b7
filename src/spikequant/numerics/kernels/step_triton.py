"""One time step of a membrane in Triton: the same order of operations as ``scan.py``, on one block of neurons in registers."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from typing import NamedTuple

import triton
import triton.language as tl


class Settings(NamedTuple):
    """What a kernel is compiled for; no field may bear a name of Triton's own ``constexpr``, such as ``value``."""

    charge: str
    reset: str
    leak_rounding: str
    late: bool
    strict: bool
    attached: bool
    full: bool
    surrogate: str
    grid: str
    rounding: str
    before: bool
    after: bool
    mask: bool
    stacked: bool
    wrap: bool
    size: int
    thresholds: bool
    decays: bool
    to_threshold: bool
    to_step: bool
    resting: bool
    tau: float
    gain: float
    leak: float
    reset_value: float
    rest: float
    slope: float
    height: float
    temperature: float
    up: float
    down: float


@triton.jit
def _charge(v, x, decay, S: tl.constexpr):
    if S.charge == "scale":
        u = decay * v + S.gain * x
    elif S.charge == "relax":
        u = v - tl.div_rn(v - S.rest, S.tau) + x
    elif S.charge == "relax_input":
        u = v + tl.div_rn(x - (v - S.rest), S.tau)
    elif S.charge == "multiply_shift":
        real = v.to(tl.float64) * S.leak
        if S.leak_rounding == "half_up":
            left = tl.floor(real + 0.5)
        elif S.leak_rounding == "floor":
            left = tl.floor(real)
        else:
            left = tl.where(real < 0, tl.ceil(real), tl.floor(real))
        u = left.to(tl.float32) + S.gain * x
    else:
        lost = tl.floor(v * S.leak)
        if S.charge == "shift_min1":
            sign = tl.where(v > 0, 1.0, tl.where(v < 0, -1.0, 0.0))
            lost = tl.where(lost == 0, sign, lost)
        u = v - lost + S.gain * x
    return u


@triton.jit
def fire(v, threshold, S: tl.constexpr):
    """1 where the membrane reaches its threshold, else 0."""
    above = v - threshold
    over = above > 0 if S.strict else above >= 0
    return tl.where(over, 1.0, 0.0)


@triton.jit
def _reset(v, s, threshold, S: tl.constexpr):
    if S.reset == "subtract":
        v = v - s * threshold
    elif S.reset == "value":
        v = (1.0 - s) * v + s * S.reset_value
    return v


@triton.jit
def _charged(v, x, threshold, decay, S: tl.constexpr):
    late = fire(v, threshold, S)
    if S.late and S.reset == "value":
        v = _reset(v, late, threshold, S)
    u = _charge(v * S.up, x, decay, S) * S.down
    if S.late and S.reset == "subtract":
        u = _reset(u, late, threshold, S)
    return u


@triton.jit
def _round(t, ROUNDING: tl.constexpr):
    below = tl.floor(t)
    rest = t - below
    if ROUNDING == "truncate":
        whole = below
    elif ROUNDING == "half_up":
        whole = tl.where(rest >= 0.5, below + 1.0, below)
    else:
        odd = below - 2.0 * tl.floor(below * 0.5) == 1.0
        whole = tl.where((rest > 0.5) | ((rest == 0.5) & odd), below + 1.0, below)
    return whole


@triton.jit
def bounds(grid, S: tl.constexpr):
    """Lowest and highest level of a packed grid: ``step, lowest, shift``, or levels and midpoints."""
    if S.grid == "affine":
        step, lowest, shift = tl.load(grid), tl.load(grid + 1), tl.load(grid + 2)
        low, high = step * (lowest + shift), step * (S.size - 1.0 + lowest + shift)
    else:
        low, high = tl.load(grid), tl.load(grid + S.size - 1)
    return low, high


@triton.jit
def _snap_affine(u, grid, S: tl.constexpr):
    step, lowest, shift = tl.load(grid), tl.load(grid + 1), tl.load(grid + 2)
    top = S.size - 1.0
    quotient = tl.div_rn(u, step) - shift
    code = tl.minimum(tl.maximum(_round(quotient, "nearest_even") - lowest, 0.0), top)
    w = step * (code + lowest + shift)
    if S.rounding == "truncate":
        w = tl.where(w > u, step * (tl.maximum(code - 1.0, 0.0) + lowest + shift), w)
    elif S.rounding == "half_up":
        code = tl.minimum(tl.maximum(_round(quotient, "half_up") - lowest, 0.0), top)
        w = tl.where(w == u, w, step * (code + lowest + shift))
    return w


@triton.jit
def _snap_table(u, grid, S: tl.constexpr):
    code = tl.zeros(u.shape, tl.int32)
    for bit in tl.static_range(15, -1, -1):
        if (1 << bit) < S.size:
            ahead = code + (1 << bit)
            middle = tl.load(grid + S.size + tl.minimum(ahead, S.size - 1) - 1)
            code = tl.where((ahead < S.size) & (middle < u), ahead, code)
    return tl.load(grid + code)


@triton.jit
def _snap(u, grid, S: tl.constexpr):
    if S.wrap:
        low, high = bounds(grid, S)
        turn = high - low + 1
        whole = _round(u, tl.constexpr(S.rounding)) - low
        u = whole - tl.floor(tl.div_rn(whole, turn)) * turn + low
    return _snap_affine(u, grid, S) if S.grid == "affine" else _snap_table(u, grid, S)


@triton.jit
def advance(v, x, threshold, decay, grid, S: tl.constexpr):
    """Charged, snapped, compared, spike, fallen and next membrane of one time step."""
    u = _charged(v, x, threshold, decay, S)
    w = u
    if S.before:
        w = _snap(u, grid, S)
    seen = w
    if S.full:
        seen = u
    s = fire(seen, threshold, S)
    fallen = w
    if not S.late:
        fallen = _reset(w, s, threshold, S)
    after = fallen
    if S.after:
        after = _snap(fallen, grid, S)
    return u, w, seen, s, fallen, after
