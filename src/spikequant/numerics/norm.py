"""Batch norm, neuron and max pool, or neuron and residual sum, in a row: the reference of the fused form."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from spikequant.numerics.scan import Dynamics, State, lif_scan, widened


class Norm(NamedTuple):
    """``x * scale + shift`` per channel. ``mean`` and ``inverse`` deviation are given where they are the batch's own moments:
    the gradient then goes through them too. They are moments over time and batch together, as in SpikingJelly's multi-step
    layers; snnTorch's loop normalizes each time step by itself, which is the same only where all steps are alike.
    """

    scale: Tensor
    shift: Tensor
    mean: Tensor | None = None
    inverse: Tensor | None = None


class Tail(NamedTuple):
    """What follows the neuron: the largest spike of each ``pool x pool`` window, or ``plus``, a branch that is added to the spikes
    (SEW's ADD). ``counts`` ``[batch, channel]``, float32, is filled with how often the neurons of a channel fired.
    """

    pool: int = 1
    plus: Tensor | None = None
    counts: Tensor | None = None


def norm_scan(
    current: Tensor,
    norm: Norm,
    dynamics: Dynamics,
    state: State | None = None,
    steps: int | None = None,
    tail: Tail = Tail(),  # noqa: B008 - an immutable default
) -> Tensor:
    """Spikes of the normalized current, and what follows them.

    A half-precision current is widened, and what comes out is of its dtype.

    Shapes: current ``[time, batch, channel, height, width]``; spikes ``[time, batch, channel, height // pool, width // pool]``.

    >>> import torch
    >>> norm = Norm(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> norm_scan(torch.full((1, 1, 1, 2, 2), 0.5), norm, Dynamics(torch.tensor(1.0)), tail=Tail(pool=2)).flatten().tolist()
    [1.0]
    """
    scale, shift = (each.reshape(-1, 1, 1) for each in (norm.scale, norm.shift))
    normal = widened(current) * scale + shift
    if norm.mean is not None and norm.inverse is not None:
        normal = normal + _through_moments(current.to(normal.dtype), norm.scale.detach(), norm.mean, norm.inverse)
    spikes, _ = lif_scan(normal, dynamics, state, steps=steps)
    if tail.counts is not None:
        tail.counts.copy_(spikes.detach().sum((0, 3, 4), dtype=torch.float32))
    spikes = spikes.to(current.dtype)
    if tail.plus is not None:
        spikes = spikes + tail.plus
    return spikes if tail.pool == 1 else max_pool2d(spikes.flatten(0, 1), tail.pool).unflatten(0, spikes.shape[:2])  # type: ignore[no-untyped-call]


def _through_moments(x: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    """Zero, with the gradient that ``(x - mean) inverse`` has through mean and deviation."""
    scale, mean, inverse = (each.reshape(-1, 1, 1) for each in (scale, mean, inverse))
    axes = (0, 1, 3, 4)
    moved, spread = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
    slope = ((x - mean) * scale * inverse**2).detach() / 2
    return -scale * (moved - moved.detach()) - slope * (spread - spread.detach())
