"""``lif_scan`` where there is no C library: torch's own operations, in place, and backward by its equations.

Spikes and membranes have the reference's bits: products by a spike are exact, all else is the same operation on the same operands.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Affine, Table, to
from spikequant.numerics.kernels.first_order import refuse_second_order
from spikequant.numerics.kernels.lif_native import covers, watchable
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.scan import Dynamics, State
from spikequant.numerics.snap import decode, encode
from spikequant.numerics.soundness import recording


def fits(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """Whether this form covers the call: the commonest neurons, on any device."""
    if d.charge not in ("scale", "relax_input") or d.reset == "none" or d.compare_at == "full" or d.state_shift:
        return False
    return current.dtype == torch.float32 and covers(current, d, state, noise) and (state is None or _is_usual(state))


def _is_usual(state: State) -> bool:
    return (state.gradient, state.snapped, state.rounding, state.wrap) == ("pass", "before_fire", "nearest_even", False)


def lif_scan(current: Tensor, d: Dynamics, state: State | None, start: Tensor | None, steps: int | None = None) -> tuple[Tensor, Tensor]:
    """``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``."""
    # A sum is NaN if any of its terms is; it may be so otherwise, with infinities of both signs.
    if not recording() and torch.isnan(current.sum()) and torch.isnan(current).any():
        raise SpecError(f"the current of a neuron holds {int(torch.isnan(current).sum())} NaN; look at the layer before it")
    if torch.is_grad_enabled() and (current.requires_grad or (start is not None and start.requires_grad)):
        spikes, last = _Scan.apply(current, start, d, state, steps)  # type: ignore[no-untyped-call]
        return spikes, last
    return _forward(current, start, (d, state), steps, keep=False)[:2]


def _forward(
    current: Tensor, start: Tensor | None, neuron: tuple[Dynamics, State | None], steps: int | None, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last membrane, and what the threshold saw in every step, where it is to be kept."""
    (d, state), shown = neuron, current.shape[0] if steps is None else steps
    v = torch.zeros_like(current[0]) if start is None else start.clone()
    spikes, seen = _empty((shown, *v.shape), current), _empty((shown if keep else 2, *v.shape), current)
    stored = None if d.reset_timing == "next" else torch.empty_like(v)
    late = _fired(v, d) if stored is None else None
    for step in range(shown):
        u = seen[step if keep else step % 2]
        if late is not None and d.reset == "value":
            v = _reset(v, late, d)
        _charge(v, current[0 if steps else step], d, out=u)
        if late is not None and d.reset == "subtract":
            _reset(u, late, d, out=u)
        if state is not None:
            _snap(u, state)
        torch.gt(u, d.threshold, out=spikes[step]) if d.compare == ">" else torch.ge(u, d.threshold, out=spikes[step])
        late = spikes[step] if stored is None else None
        v = u if stored is None else _reset(u, spikes[step], d, out=stored)
    return spikes, v.clone(), seen


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return empty(shape) if like.device.type == "cpu" else like.new_empty(shape)


def _fired(v: Tensor, d: Dynamics) -> Tensor:
    return (v > d.threshold if d.compare == ">" else v >= d.threshold).to(v.dtype)


def _charge(v: Tensor, x: Tensor, d: Dynamics, out: Tensor) -> None:
    if d.charge == "scale":
        torch.mul(v, d.decay, out=out).add_(x if d.gain == 1 else x * d.gain)
        return
    rest = d.reset_value if d.reset == "value" else 0.0
    torch.sub(x, v - rest if rest else v, out=out).div_(d.tau).add_(v)


def _reset(v: Tensor, s: Tensor, d: Dynamics, out: Tensor | None = None) -> Tensor:
    """The membrane after its spikes: ``v - s threshold``, or ``(1 - s) v + s value``."""
    if d.reset == "value":
        return torch.mul(1 - s, v, out=out).add_(s, alpha=d.reset_value)
    if d.threshold.ndim == 0:
        return torch.sub(v, s, alpha=d.threshold.item(), out=out)
    return torch.addcmul(v, s, d.threshold, value=-1, out=out)


def _snap(u: Tensor, state: State) -> None:
    """To the grid, in place."""
    grid = to(state.fixed, u)
    if isinstance(grid, Table):
        u.copy_(decode(grid, encode(grid, u)))
        return
    assert isinstance(grid, Affine), "the only other kind"
    step, lowest, shift = grid[:3]
    u.div_(step).sub_(shift).round_().sub_(lowest).clamp_(0, grid.size - 1).add_(lowest).add_(shift).mul_(step)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, start: Tensor | None, d: Dynamics, state: State | None, steps: int | None
    ) -> tuple[Tensor, Tensor]:
        spikes, last, seen = _forward(current, start, (d, state), steps, keep=True)
        ctx.dynamics, ctx.still, ctx.started = d, steps is not None, start is not None
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(seen, torch.zeros_like(seen[0]) if start is None else start, *watchable(d.threshold, d.decay))
        return spikes, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        seen, start = ctx.saved_tensors[:2]
        to_spikes = torch.zeros_like(seen) if gradients[0] is None else gradients[0]
        to_state = torch.zeros_like(start) if gradients[1] is None else gradients[1].clone()
        to_current = torch.zeros_like(seen[:1]) if ctx.still else _empty(seen.shape, seen)
        d = ctx.dynamics
        share = d.gain if d.charge == "scale" else 1 / d.tau
        for step, g, before in _back(d, (start, *seen), to_spikes, to_state):
            to_current[0].add_(g, alpha=share) if ctx.still else torch.mul(g, share, out=to_current[step])
            to_start = before
        return to_current, to_start if ctx.started else None, None, None, None


def _back(d: Dynamics, seen: tuple[Tensor, ...], to_spikes: Tensor, to_state: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """From the last step: its number, the gradient of its charged membrane, that of the state before it; ``seen`` begins with the start."""
    through, keep = not d.detach_reset, d.decay if d.charge == "scale" else 1 - 1 / d.tau
    is_late, to_value = d.reset_timing == "next", d.reset == "value"
    looks_back, slope_before = is_late and (through or to_value), None
    for step in reversed(range(len(to_spikes))):
        v, before, to_spike = seen[step + 1], seen[step], to_spikes[step]
        slope = _slope(v, d) if slope_before is None else slope_before
        if not is_late and through:
            to_spike = to_spike + to_state * (d.reset_value - v if to_value else -d.threshold)
        if not is_late and to_value:
            to_state = to_state * (1 - _fired(v, d))
        g = to_state.addcmul_(slope, to_spike)
        to_state = g * keep
        if looks_back:
            slope_before = _slope(before, d)
            fall = (to_state * (d.reset_value - before) if to_value else g * -d.threshold) * slope_before if through else 0
            to_state = (to_state * (1 - _fired(before, d)) if to_value else to_state) + fall
        yield step, g, to_state


def _slope(v: Tensor, d: Dynamics) -> Tensor:
    return d.surrogate.derivative(v - d.threshold)
