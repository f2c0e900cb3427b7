"""``lif_scan`` on a grid whose range follows every step, by the C twin of one step.

What is rounded before it fires runs twice: for the step's extremes, then on the grid that they ask for. What is rounded after its reset
runs once, and is rounded then.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spikequant.numerics import snap as reference
from spikequant.numerics.charging import charging
from spikequant.numerics.grid import Grid
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.ranging import Ranging, extremes
from spikequant.numerics.scan import Dynamics, Noise, Snapped, State

Snap = Callable[..., Tensor]


def fits(current: Tensor, d: Dynamics, state: State | None, noise: Noise | None) -> bool:
    """Whether this form covers the call: what the C twin does in one step, the membrane rounded once."""
    if state is None or not (follows_each_step(state) or _rounds_once(state, "after_reset")):
        return False
    return lif_native.fits(current, d, None, noise)


def follows_each_step(state: State | None) -> bool:
    """Whether a state's grid is that of each step, and C rounds on it, before the neuron fires."""
    if state is None or not _rounds_once(state, "before_fire"):
        return False
    return state.gradient != "stacked" and not state.squash and state.rounding in lif_native.ROUNDING


def _rounds_once(state: State, when: Snapped) -> bool:
    return isinstance(state.grid, Ranging) and state.grid.scope == "step_batch" and state.snapped == when and not state.wrap


def lif_scan(
    current: Tensor, d: Dynamics, state: State, start: Tensor | None, steps: int | None = None, snap: Snap = reference.snap
) -> tuple[Tensor, Tensor]:
    """``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``; ``snap`` or a twin of it."""
    v = start
    order = lif_native.memory_order(current)
    back = tuple(order.index(axis) for axis in range(current.ndim))
    rows, spikes = current.permute(order), []  # steps are cut and joined as they lie in memory, for the layers before and after
    for row in rows.unsqueeze(1) if steps is None else [rows] * steps:
        x = row.permute(back)
        if state.snapped == "before_fire":
            with torch.no_grad():
                reached = lif_native.lif_scan(x, charging(d), None, v)[1]
            fired, v = lif_native.lif_scan(x, d, state._replace(grid=_spanning(state, reached, order)), v)
        else:
            fired, v = lif_native.lif_scan(x, d, None, v)
            v = state.bent(v)
            v = snap(_spanning(state, v.detach(), order), v, state.rounding, state.gradient)
        spikes.append(fired.permute(order))
    assert v is not None, "no current is empty"
    return torch.cat(spikes).permute(back), v


def _spanning(state: State, v: Tensor, order: tuple[int, ...]) -> Grid:
    """The grid of these membranes, read as they lie in memory."""
    assert isinstance(state.grid, Ranging), "fits() asked for it"
    return state.grid.spanning(*extremes(v.unsqueeze(0).permute(order), per_sample=False))
