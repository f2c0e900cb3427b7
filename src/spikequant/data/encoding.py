"""Still images as input over time."""

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError


def direct(x: Tensor, time: int) -> Tensor:
    """The same image at every step: a view ``[time, batch, ...]`` of ``x [batch, ...]``, without a copy.

    >>> direct(torch.tensor([[0.5]]), time=3).flatten().tolist()
    [0.5, 0.5, 0.5]

    Raises:
        SpecError: time below 1.
    """
    if time < 1:
        raise SpecError(f"time {time} must be at least 1")
    return x.expand(time, *x.shape)


def rate(x: Tensor, noise: Tensor) -> Tensor:
    """Bernoulli spikes: at every step a pixel fires with its intensity as probability.

    ``spike[t] = 1 if noise[t] < x else 0``, with x ``[batch, ...]`` in [0, 1], noise ``[time, batch, ...]`` uniform in
    [0, 1), and spikes of the noise's shape and x's dtype. A pixel of 0 never fires, a pixel of 1 always.

    >>> rate(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([[0.0, 0.4, 0.9], [0.0, 0.5, 0.9]])).tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]

    Raises:
        MismatchError: the noise does not have the shape of x behind its time axis.
        SpecError: x is not floating point, as pixels are before they are scaled.
    """
    if noise.shape[1:] != x.shape:
        raise MismatchError(f"noise of shape {tuple(noise.shape)} must be (time, *{tuple(x.shape)})")
    if not x.is_floating_point():
        raise SpecError(f"x of dtype {x.dtype} must be floating point in [0, 1]; divide it by the scale of its data set")
    return torch.lt(noise, x).to(x.dtype)
