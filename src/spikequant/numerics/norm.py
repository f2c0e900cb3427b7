"""Batch norm, neuron and max pool in a row: the reference of the fused form."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import max_pool2d

from spikequant.numerics.scan import Dynamics, State, lif_scan


class Norm(NamedTuple):
    """``x * scale + shift`` per channel. ``mean`` and ``inverse`` deviation are given where they are the batch's own moments:
    the gradient then goes through them too.
    """

    scale: Tensor
    shift: Tensor
    mean: Tensor | None = None
    inverse: Tensor | None = None


def norm_scan(
    current: Tensor, norm: Norm, dynamics: Dynamics, state: State | None = None, steps: int | None = None, pool: int = 1
) -> Tensor:
    """Spikes of the normalized current, the largest of each ``pool x pool`` window.

    Shapes: current ``[time, batch, channel, height, width]``; spikes ``[time, batch, channel, height // pool, width // pool]``.

    >>> import torch
    >>> norm = Norm(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> norm_scan(torch.full((1, 1, 1, 2, 2), 0.5), norm, Dynamics(torch.tensor(1.0)), pool=2).flatten().tolist()
    [1.0]
    """
    scale, shift = (each.reshape(-1, 1, 1) for each in (norm.scale, norm.shift))
    normal = current * scale + shift
    if norm.mean is not None and norm.inverse is not None:
        normal = normal + _through_moments(current, norm.scale.detach(), norm.mean, norm.inverse)
    spikes, _ = lif_scan(normal, dynamics, state, steps=steps)
    return spikes if pool == 1 else max_pool2d(spikes.flatten(0, 1), pool).unflatten(0, spikes.shape[:2])  # type: ignore[no-untyped-call]


def _through_moments(x: Tensor, scale: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    """Zero, with the gradient that ``(x - mean) inverse`` has through mean and deviation."""
    scale, mean, inverse = (each.reshape(-1, 1, 1) for each in (scale, mean, inverse))
    axes = (0, 1, 3, 4)
    moved, spread = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
    slope = ((x - mean) * scale * inverse**2).detach() / 2
    return -scale * (moved - moved.detach()) - slope * (spread - spread.detach())
