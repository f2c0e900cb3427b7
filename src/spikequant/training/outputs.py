"""What a model says at every time step, and whether targets fit it."""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons import rest
from spikequant.numerics import recording
from spikequant.training.spec import Precision

Loader = Iterable[tuple[Tensor, Tensor]]


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's first tensor; a model without any is on the CPU."""
    return next((tensor.device for tensor in itertools.chain(model.parameters(), model.buffers())), torch.device("cpu"))


def batch_axis(model: object, x: Tensor, y: Tensor) -> int:
    """Along which axis of ``x`` its samples lie: as the model's ``takes_sequence`` says; without one, the first that is as long as ``y``.

    >>> batch_axis(nn.Identity(), torch.zeros(4, 2, 3), torch.zeros(2))
    1
    """
    says = getattr(model, "takes_sequence", None)
    return int(len(x) != len(y)) if says is None else int(says)


def step_outputs(model: nn.Module, x: Tensor, precision: Precision = "float32") -> Tensor:
    """The output of every time step, ``[time, batch, class]``: ``model.steps(x)`` where the model has it, else ``model(x)``.

    Guests begin at rest: what they hold of the batch before belongs to its graph.
    With ``bfloat16`` layers run under autocast; the result is float32.

    Raises:
        MismatchError: as ``as_steps``.

    >>> step_outputs(nn.Flatten(), torch.zeros(3, 2)).shape
    torch.Size([1, 3, 2])
    """
    half = precision == "bfloat16"
    rest(model)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
        steps = getattr(model, "steps", None)  # of another's network perhaps the number of its steps
        outputs = as_steps(model, (steps if callable(steps) else model)(x))
    return outputs.float() if half else outputs


def as_steps(model: nn.Module, outputs: object) -> Tensor:
    """What a model gave as ``[time, batch, class]``; ``[batch, class]`` counts as one step.

    Raises:
        MismatchError: it is anything else.
    """
    if not isinstance(outputs, Tensor) or outputs.ndim not in (2, 3):
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise MismatchError(f"{type(model).__name__} must give [batch, class] or [time, batch, class], got {found}")
    return outputs if outputs.ndim == 3 else outputs.unsqueeze(0)


def refuse_targets(outputs: Tensor, targets: Tensor) -> None:
    """Raise where targets are no classes of these outputs ``[..., batch, class]``.

    Raises:
        MismatchError: names what does not fit.
    """
    batch, classes = outputs.shape[-2:]
    if targets.dtype != torch.int64 or tuple(targets.shape) != (batch,):
        raise MismatchError(f"targets must be int64 of shape ({batch},), got {targets.dtype} of shape {tuple(targets.shape)}")
    if recording():
        return
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise MismatchError(
            f"target {int(wrong[0])} is none of the model's {classes} classes, 0 to {classes - 1}; build it with more classes"
        )
