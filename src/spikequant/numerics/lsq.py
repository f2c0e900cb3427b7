"""LSQ: a step that is learned; its gradient is ``snap``'s own."""

from torch import Tensor

from spikequant.numerics.snap import through


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` itself, its gradient multiplied by ``factor``.

    LSQ scales the step's gradient by ``1 / sqrt(N highest)``, N values sharing the step (Esser et al. 2020, section 2.2).

    >>> import torch
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> scale_gradient(x, 0.5).backward()
    >>> x.grad.item()
    0.5
    """
    return through(x, x * factor)


def start_step(x: Tensor, highest: int) -> Tensor:
    """The first step of LSQ: ``2 mean|x| / sqrt(highest)``, over the last axis.

    >>> import torch
    >>> start_step(torch.tensor([-1.0, 1.0]), 4).item()
    1.0
    """
    step: Tensor = 2 * x.abs().mean(-1) / highest**0.5
    return step.clamp(min=1e-8)
