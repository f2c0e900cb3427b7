"""What a membrane reaches before it is rounded and fires: what a grid should cover."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from spikequant.numerics import scan
from spikequant.numerics.ranging import Ranging, extremes
from spikequant.numerics.scan import Dynamics, Noise, State


@torch.no_grad()
def charged(
    current: Tensor,
    dynamics: Dynamics,
    state: State | None = None,
    start: Tensor | None = None,
    noise: Noise | None = None,
    run: Callable[..., tuple[Tensor, Tensor]] = scan.lif_scan,
) -> Iterator[Tensor]:
    """The membrane of each step before it is rounded and fires, ``[batch, ...]``; with a ``state``, on the way that this grid leads.

    ``run``: ``lif_scan`` or a twin of it.

    >>> [float(v) for v in charged(torch.ones(3, 1, 1), Dynamics(torch.tensor(1.5)))]
    [1.0, 2.0, 1.5]
    """
    v, open_ended = start, charging(dynamics)
    for step, x in enumerate(current.unsqueeze(1)):
        yield run(x, open_ended, start=v)[1]
        # Noise is named by its step in the sequence; each of these scans has one step only.
        drawn = None if noise is None else partial(_at, noise, step)
        v = run(x, dynamics, state, v, drawn)[1]


def charging(dynamics: Dynamics) -> Dynamics:
    """The same charge with nothing taken off it: a reset at once hides the charged membrane, unless the threshold is out of reach."""
    if dynamics.reset_timing == "now":
        return dynamics._replace(threshold=torch.full_like(dynamics.threshold, torch.finfo(dynamics.threshold.dtype).max))
    return dynamics._replace(reset_timing="next") if dynamics.reset_timing == "now_once" else dynamics


def _at(noise: Noise, step: int, _: int, like: Tensor) -> Tensor:
    return noise(step, like)


def settled(
    state: State | None, current: Tensor, dynamics: Dynamics, start: Tensor | None = None, steps: int | None = None
) -> State | None:
    """The state with the grid that its range asks for over a whole sequence, found on the float way of these membranes.

    A range of the batch's single step cannot be known before: it stays as it is.
    """
    if state is None or not isinstance(state.grid, Ranging) or state.grid.scope == "step_batch":
        return state
    whole = current if steps is None else current.expand(steps, *current.shape[1:])
    seen = [extremes(v, state.grid.scope == "sample") for v in charged(whole.detach(), dynamics, start=start)]
    low, high = (torch.stack(ends) for ends in zip(*seen, strict=True))
    return state._replace(grid=state.grid.spanning(low.amin(0), high.amax(0)))
