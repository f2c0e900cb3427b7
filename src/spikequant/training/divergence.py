"""Where a training went wrong: the first layer with a value that is not finite."""

import contextlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from spikequant.errors import Diverged, SpikequantError
from spikequant.training.outputs import step_outputs
from spikequant.training.spec import Precision

INPUT = "the input batch"


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no value is NaN or infinite; in one pass, by the largest magnitude.

    >>> finite([torch.tensor([1e38])]), finite([torch.tensor([1.0, float("nan")])])
    (True, False)
    """
    return bool(torch.isfinite(get_total_norm(tensors, torch.inf)))


def diverged(what: str, place: str, cure: str = "lower lr, or set grad_clip") -> Diverged:
    """The error that names what is not finite, where in training it was met, and what to do: ``cure``, unless the data are broken."""
    told = "leave out the samples that hold NaN or infinity" if what == INPUT else cure
    return Diverged(f"training diverged at {place}: {what} is not finite; {told}")


def culprit(model: nn.Module, x: Tensor, precision: Precision) -> str | None:
    """What is not finite: the input; else the first parameter; else the output of the layer that runs first; else the gradient
    that is computed first, so nearest to the loss; None where all are finite.

    >>> broken = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    >>> _ = broken[1].bias.data.fill_(torch.inf)
    >>> culprit(broken, torch.zeros(1, 1), "float32")
    "the parameter 'bias' of layer '1'"
    """
    if _broken(x):
        return INPUT
    for name, parameter in model.named_parameters():
        if _broken(parameter):
            return f"the parameter {_place(name)}"
    layer = _first_output(model, x, precision)
    if layer is not None:
        return f"the output of layer {layer!r}"
    for name, parameter in reversed([*model.named_parameters()]):
        if _broken(parameter.grad):
            return f"the gradient of {_place(name)}"
    return None


def _broken(value: object) -> bool:
    return isinstance(value, Tensor) and not bool(torch.isfinite(value).all())


def _place(parameter: str) -> str:
    # Torch keeps the tensor behind a parametrization as <layer>.parametrizations.<tensor>.original.
    layer, _, tensor = parameter.replace(".parametrizations", "").removesuffix(".original").rpartition(".")
    return f"{tensor!r} of layer {layer!r}" if layer else repr(tensor)


def _first_output(model: nn.Module, x: Tensor, precision: Precision) -> str | None:
    """The first layer to give a value that is not finite, when the model runs once more; its buffers are put back."""
    found, buffers = list[str](), {name: buffer.clone() for name, buffer in model.named_buffers()}
    handles = [module.register_forward_hook(_listener(name or type(model).__name__, found)) for name, module in model.named_modules()]
    try:
        # Neurons and grids refuse NaN: by then the layer that gave it was heard.
        with torch.no_grad(), contextlib.suppress(SpikequantError):
            step_outputs(model, x, precision)
    finally:
        for handle in handles:
            handle.remove()
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return found[0] if found else None


def _listener(name: str, found: list[str]) -> Callable[[nn.Module, object, object], None]:
    def hear(module: nn.Module, inputs: object, output: object) -> None:
        if _broken(output):
            found.append(name)

    return hear
