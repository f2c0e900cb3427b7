"""``norm_scan`` on a grid whose range follows every step: the C twin one step at a time forward, all steps at once backward."""

import torch
from torch import Tensor

from spikequant.numerics.kernels import norm_native
from spikequant.numerics.kernels.lif_native import TILE
from spikequant.numerics.kernels.lif_ranging import follows_each_step
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.norm_native import Affine, Call, Neuron
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.norm import Tail
from spikequant.numerics.ranging import Ranging
from spikequant.numerics.scan import Dynamics, State


def fits(current: Tensor, dynamics: Dynamics, state: State | None, tail: Tail) -> bool:
    """Whether this form covers the call; each neuron must lie in a window, or the extremes would miss it."""
    whole = all(size % tail.pool == 0 for size in current.shape[3:])
    return whole and follows_each_step(state) and norm_native.fits(current, dynamics, None, tail)


def run(x: Tensor, neuron: Neuron, steps: int | None, tail: Tail, affine: Affine) -> tuple[Call, Tensor]:
    """How ``norm_native.norm_scan`` goes forward in calls that this form ``fits``."""
    dynamics, state = neuron
    assert state is not None, "fits() asked for it"
    assert isinstance(state.grid, Ranging), "fits() asked for it"
    c, whole, first = library(), Call(x, (dynamics, None), steps, tail.pool), Call(x[:1], (dynamics, None), None, tail.pool)
    assert c is not None, "fits() asked for it"
    spikes, calls = empty(whole.spiking, x.dtype), []
    held = torch.zeros(first.patches(c), tail.pool, TILE, dtype=torch.float32, device="cpu")
    heard = None if tail.counts is None else torch.empty_like(tail.counts)
    for step in range(whole.steps):
        now = x[:1] if steps is not None else x[step : step + 1]
        grid = state.grid.spanning(*norm_native.extremes(c, first, now, affine, held))
        calls.append(Call(now, (dynamics, state._replace(grid=grid)), None, tail.pool))
        plus = None if tail.plus is None else tail.plus[step : step + 1]
        norm_native.advance(c, calls[-1], now, affine, Tail(tail.pool, plus, heard), spikes[step : step + 1], held)
        if tail.counts is not None and heard is not None:
            tail.counts.copy_(heard if step == 0 else tail.counts + heard)
    whole.take_grids_of(calls)
    return whole, spikes
