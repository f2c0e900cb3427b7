"""What a foreign module is in our terms: the kind and arguments of a node, and the tensors to copy; or why it cannot be."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models.wiring import Args


class Described(NamedTuple):
    """A node to be: its kind, its arguments, and which tensors of ours take which of theirs."""

    kind: str
    args: Args
    tensors: dict[str, Tensor]


def refuse(place: str, what: str, reason: str) -> SpecError:
    """The error for what has no equal here."""
    return SpecError(f"{place} ({what}) cannot be adopted: {reason}")


def stateless(place: str, module: nn.Module, sequence: bool) -> Described | None:
    """A layer without state, or None if it does nothing; ``sequence``: plain torch layers see ``[time, batch, ...]``.

    Raises:
        SpecError: it has no equal here.
    """
    if is_spikingjelly(type(module)) and type(module).__name__ == "Dropout":
        return _dropout(place, module, sequence)
    for kind, describe in STATELESS.items():
        if isinstance(module, kind):
            _refuse_changed(place, module, kind)
            return describe(place, module, sequence)
    if type(module).__module__.startswith("spikequant."):
        raise refuse(place, type(module).__name__, "it is spikequant's own; write it as a node of a Wiring")
    raise refuse(place, type(module).__name__, f"only {', '.join(sorted(kind.__name__ for kind in STATELESS))} and neurons can be")


def _refuse_changed(place: str, module: nn.Module, kind: type[nn.Module]) -> None:
    """Refuse what computes otherwise than torch's kind, or SpikingJelly's wrapper of the same name, or from other tensors."""
    own = type(module)
    known = next(base for base in own.__mro__ if base is kind or (is_spikingjelly(base) and base.__name__ == kind.__name__))
    for name in ("forward", "_conv_forward"):
        if name in vars(module) or getattr(own, name, None) is not getattr(known, name, None):
            raise refuse(place, own.__name__, f"its {name} is not that of {kind.__name__}, so that it may compute anything")
    strange = sorted(set(module.state_dict()) - TENSORS)
    if strange:
        said = ", ".join(strange)
        raise refuse(place, own.__name__, f"its weights are computed from {said}; adopt the plain float network, then quantize that")


def _held(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def _conv2d(place: str, module: Any, sequence: bool) -> Described:
    if module.padding_mode != "zeros":
        raise refuse(place, "Conv2d", f"its padding is {module.padding_mode!r}; only zeros can be padded")
    args = {name: _plain(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation", "groups")}
    sizes = {"in_channels": module.in_channels, "out_channels": module.out_channels, "bias": module.bias is not None}
    return Described("conv2d", {**sizes, **args}, _held(module))


def _linear(place: str, module: Any, sequence: bool) -> Described:
    args: Args = {"in_features": module.in_features, "out_features": module.out_features, "bias": module.bias is not None}
    return Described("linear", args, _held(module))


def _batch_norm(place: str, module: Any, sequence: bool) -> Described:
    space = 2 if isinstance(module, nn.BatchNorm2d) else 1
    args = {name: getattr(module, name) for name in ("eps", "momentum", "affine", "track_running_stats")}
    return Described("batch_norm", {"channels": module.num_features, "space": space, **args}, _held(module))


def _max_pool(place: str, module: Any, sequence: bool) -> Described:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return Described("max_pool", {name: _plain(getattr(module, name)) for name in names}, {})


def _mean_pool(place: str, module: Any, sequence: bool) -> Described:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    return Described("mean_pool", {name: _plain(getattr(module, name)) for name in names}, {})


def _average_pool(place: str, module: Any, sequence: bool) -> Described:
    return Described("average_pool", {"output_size": _plain(module.output_size)}, {})


def _flatten(place: str, module: Any, sequence: bool) -> Described:
    return flattening(place, module.start_dim, module.end_dim, sequence and not is_spikingjelly(type(module)))


def flattening(place: str, start: int, end: int, sequence: bool) -> Described:
    """A flatten of all but batch, and time where it is there.

    Raises:
        SpecError: it flattens other axes.
    """
    first = 2 if sequence else 1
    if (start, end) != (first, -1):
        raise refuse(place, "flatten", f"it joins axes {start} to {end}; all from {first} on must be joined, so that time and batch stay")
    return Described("flatten", {}, {})


def _dropout(place: str, module: Any, sequence: bool) -> Described | None:
    if is_spikingjelly(type(module)) and module.p > 0:
        raise refuse(place, "Dropout", "SpikingJelly holds its mask over all steps; use torch.nn.Dropout, or set p to 0")
    return Described("dropout", {"p": module.p}, {}) if module.p > 0 else None


def is_spikingjelly(kind: type) -> bool:
    """Whether it is a class of SpikingJelly's."""
    return kind.__module__.startswith("spikingjelly.")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
STATELESS: dict[type[nn.Module], Callable[[str, nn.Module, bool], Described | None]] = {
    nn.Conv2d: _conv2d,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _mean_pool,
    nn.AdaptiveAvgPool2d: _average_pool,
    nn.Flatten: _flatten,
    nn.Dropout: _dropout,
    nn.Identity: lambda place, module, sequence: None,
}


def constant(place: str, name: str, value: Any, axes: int | None = None) -> Any:
    """A constant of a neuron as a number, or a list of one for each channel; ``axes``: how many a sample has, None if that is unknown.

    Raises:
        SpecError: it is learned, differs within a channel, or lies along other axes than channels.
    """
    if isinstance(value, nn.Parameter) and value.requires_grad:
        raise refuse(place, name, "it is learned, ours is a constant; freeze it first: requires_grad_(False)")
    tensor = torch.as_tensor(value, dtype=torch.float32).detach()
    if tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
        return float(tensor.flatten()[0])
    shape = tuple(tensor.shape)
    if axes is not None and shape[0] == 1 and tensor.ndim == axes + 1:
        tensor = tensor[0]  # spread over the batch
    if axes is not None and tensor.ndim != axes:
        wanted = f"(C, {', '.join('1' * (axes - 1))})" if axes > 1 else "(C,)"
        raise refuse(place, name, f"it has shape {shape}, along the last axes of a sample; one for each channel has shape {wanted} here")
    if tensor.ndim == 1:
        return [float(each) for each in tensor]
    same = tensor.flatten(1)
    if bool((same == same[:, :1]).all()):
        return [float(each) for each in same[:, 0]]
    raise refuse(place, name, f"it has shape {shape} and differs within a channel; one number, or one for each channel, is known")


def curve(place: str, found: tuple[str, float] | None, wanted: str | None, said: str) -> Args:
    """The surrogate: the guest's where we have its equal, else the one that the user names.

    Raises:
        SpecError: neither.
    """
    if found is not None:
        return {"surrogate": found[0], "slope": found[1]}
    if wanted is not None:
        return {"surrogate": wanted}
    raise refuse(place, "surrogate", f"{said} has no equal here; name one of ours: adopt(..., surrogate='arctan')")


def closed_over(function: Any) -> dict[str, Any]:
    """The variables that a function has closed over."""
    return dict(inspect.getclosurevars(function).nonlocals) if inspect.isfunction(function) else {}
