"""One time step of a membrane in Triton, backward: through firing and reset, through rounding, and through the charge."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
# ruff: noqa: PLR0913 - Triton has no structures

import triton
import triton.language as tl

from spikequant.numerics.kernels.step_triton import bounds, fire


@triton.jit
def _surrogate(above, S: tl.constexpr):
    if S.surrogate == "arctan":
        y = 1.5707963267948966 * S.slope * above
        d = 0.5 * S.slope / (1.0 + y * y)
    elif S.surrogate == "sigmoid":
        y = 1.0 / (1.0 + tl.exp(-S.slope * above))
        d = S.slope * y * (1.0 - y)
    elif S.surrogate == "fast_sigmoid":
        y = S.slope * tl.abs(above) + 1.0
        d = 1.0 / (y * y)
    elif S.surrogate == "triangle":
        d = S.slope * tl.maximum(1.0 - S.slope * tl.abs(above), 0.0)
    else:
        y = 3.141592653589793 * S.slope * above
        d = 0.3183098861837907 / (1.0 + y * y)
    return d * S.height


@triton.jit
def _stacked(v, grid, S: tl.constexpr):
    step, lowest, shift = tl.load(grid), tl.load(grid + 1), tl.load(grid + 2)
    slope = tl.zeros(v.shape, tl.float32)
    for code in range(S.size - 1):
        y = tl.exp(-tl.abs(S.temperature * (v - step * (code + 0.5 + lowest + shift)) / step))
        slope += S.temperature * y / ((1.0 + y) * (1.0 + y))
    return slope


@triton.jit
def _snap_back(g, v, w, grid, S: tl.constexpr):
    """Through the rounding of v to w: the gradient of v, and what the grid's step gains."""
    gain = tl.zeros(v.shape, tl.float32)
    if S.mask or S.to_step:
        low, high = bounds(grid, S)
        inside = (v >= low) & (v <= high)
        if S.to_step:
            gain = g * (tl.where(inside, w - v, w) / tl.load(grid))
        if S.mask:
            g = tl.where(inside, g, 0.0)
    if S.stacked:
        g *= _stacked(v, grid, S)
    return g, gain


@triton.jit
def fire_back(gs, gv, threshold, u, w, seen, s, fallen, after, grid, S: tl.constexpr):
    """The gradient of the charged membrane, and what threshold and step gain."""
    to_step = tl.zeros(u.shape, tl.float32)
    if S.after:
        gv, to_step = _snap_back(gv, fallen, after, grid, S)
    if S.attached and not S.late:
        if S.reset == "subtract":
            gs -= threshold * gv
        elif S.reset == "value":
            gs += gv * (S.reset_value - w)
    fired = _surrogate(seen - threshold, S) * gs
    to_threshold = -fired
    g = gv
    if not S.late and S.reset == "subtract":
        to_threshold -= s * gv
    if not S.late and S.reset == "value":
        g = gv * (1.0 - s)
    if not S.full:
        g += fired
    if S.before:
        g, gain = _snap_back(g, u, w, grid, S)
        to_step += gain
    if S.full:
        g += fired
    return g, to_threshold, to_step


@triton.jit
def charge_back(g, v, threshold, decay, S: tl.constexpr):
    """The gradients of the current and of the membrane before, and what the threshold gains."""
    scaled = g * S.down
    gx = scaled * S.gain
    if S.charge == "scale":
        gv = decay * scaled
    elif S.charge == "multiply_shift":
        gv = scaled * S.leak
    elif S.charge == "shift" or S.charge == "shift_min1":
        gv = scaled - scaled * S.leak
    else:
        gv = scaled - scaled / S.tau
        gx = scaled
        if S.charge == "relax_input":
            gx = scaled / S.tau
    gv *= S.up
    to_threshold = tl.zeros(v.shape, tl.float32)
    if S.late:
        d = _surrogate(v - threshold, S)
        late = fire(v, threshold, S)
        if S.reset == "subtract":
            to_threshold -= g * late
            if S.attached:
                fired = threshold * g * d
                to_threshold += fired
                gv -= fired
        elif S.reset == "value":
            kept = gv * (1.0 - late)
            if S.attached:
                fired = gv * (S.reset_value - v) * d
                to_threshold -= fired
                kept += fired
            gv = kept
    return gx, gv, to_threshold
