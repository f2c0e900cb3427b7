"""``lif_scan`` on a grid whose range follows every step: the step's extremes, then the C twin of one step on the grid that they ask for."""

import torch
from torch import Tensor

from spikequant.numerics.charging import charging
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.ranging import Ranging, extremes
from spikequant.numerics.scan import Dynamics, Noise, State


def fits(current: Tensor, d: Dynamics, state: State | None, noise: Noise | None) -> bool:
    """Whether this form covers the call: what the C twin does in one step, the membrane rounded once, before it fires."""
    return follows_each_step(state) and lif_native.fits(current, d, None, noise)


def follows_each_step(state: State | None) -> bool:
    """Whether a state's grid is that of each step, and C rounds on it."""
    if state is None or not isinstance(state.grid, Ranging) or state.grid.scope != "step_batch":
        return False
    if state.snapped != "before_fire" or state.gradient == "stacked" or state.wrap or state.squash:
        return False
    return state.rounding in lif_native.ROUNDING


def lif_scan(current: Tensor, d: Dynamics, state: State, start: Tensor | None, steps: int | None = None) -> tuple[Tensor, Tensor]:
    """``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``."""
    assert isinstance(state.grid, Ranging), "fits() asked for it"
    open_ended, v = charging(d), start
    order = lif_native.memory_order(current)
    back = tuple(order.index(axis) for axis in range(current.ndim))
    rows, spikes = current.permute(order), []  # steps are cut and joined as they lie in memory, for the layers before and after
    for row in rows.unsqueeze(1) if steps is None else [rows] * steps:
        x = row.permute(back)
        with torch.no_grad():
            charged = lif_native.lif_scan(x, open_ended, None, v)[1]
        grid = state.grid.spanning(*extremes(charged.unsqueeze(0).permute(order), per_sample=False))
        fired, v = lif_native.lif_scan(x, d, state._replace(grid=grid), v)
        spikes.append(fired.permute(order))
    assert v is not None, "no current is empty"
    return torch.cat(spikes).permute(back), v
