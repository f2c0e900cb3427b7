"""What a network does for its spikes: synaptic operations, counted where they happen."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from spikequant.behavior.recorder import Loader, first
from spikequant.errors import SpecError
from spikequant.neurons.showing import from_rest, watching

PART = 64  # samples counted at a time


class Operations(NamedTuple):
    """Operations of one layer for one sample, over all its time steps.

    ``dense``: every synapse at every step. ``effective``: only synapses whose input is not zero, as event-driven hardware does.
    """

    dense: float
    effective: float


def operations(model: nn.Module, loader: Loader, batches: int = 20) -> dict[str, Operations]:
    """Synaptic operations per sample of every convolution and linear layer, over the first batches, in evaluation mode.

    A synapse that padding feeds is not counted. A layer that runs once for all time steps counts once.

    Raises:
        SpecError: no sample was asked for or given, the model has no such layer, or a convolution that cannot be counted.

    >>> found = operations(nn.Sequential(nn.Linear(4, 3)), [(torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.zeros(1))])
    >>> found["0"]
    Operations(dense=12.0, effective=6.0)
    """
    layers = {name: _countable(name, module) for name, module in model.named_modules() if isinstance(module, _ConvNd | nn.Linear)}
    if not layers:
        raise SpecError(f"{type(model).__name__} has no convolution or linear layer whose operations could be counted")
    dense, effective = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)

    def counter(name: str, layer: nn.Conv2d | nn.Linear) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            dense[name] += reached(layer, torch.ones_like(inputs[0][:1])) * len(inputs[0])
            effective[name] += reached(layer, inputs[0])

        return layer.register_forward_pre_hook(hook)

    handles = [counter(name, layer) for name, layer in layers.items()]
    try:
        images = _run(model, first(loader, batches))
    finally:
        for handle in handles:
            handle.remove()
    if not images:
        raise SpecError("the loader gave no sample: operations are counted on at least 1")
    return {name: Operations(dense[name] / images, effective[name] / images) for name in layers}


def _countable(name: str, module: nn.Module) -> nn.Conv2d | nn.Linear:
    if isinstance(module, nn.Linear):
        return module
    if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros":
        raise SpecError(f"layer {name!r}: operations are counted of Conv2d with padding_mode='zeros' and of Linear, got {module}")
    return module


def _run(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    images = 0
    with watching(model):
        for x, y in batches:
            from_rest(model, x)
            images += len(y)
    return images


def reached(module: nn.Conv2d | nn.Linear, x: Tensor) -> float:
    """How many synapses the inputs that are not zero have: each input times the outputs that it reaches."""
    if isinstance(module, nn.Linear):
        return float(torch.count_nonzero(x)) * module.out_features
    places = _places(x)
    return float((places * _windows(module, *places.shape)).sum()) * module.out_channels / module.groups


def _places(x: Tensor) -> Tensor:
    """How often each place of the images ``[..., height, width]`` is not zero."""
    before = tuple(range(x.ndim - 2))
    # Parts that the allocator holds ready: the whole at once would wait for fresh pages. Exact in float32 up to 2**24.
    parts = ((part != 0).float().sum(before).double() for part in torch.split(x, PART))
    return sum(parts, torch.zeros((), dtype=torch.float64, device=x.device)).cpu()


def _windows(module: nn.Conv2d, height: int, width: int) -> Tensor:
    """In how many windows each place of an image lies, ``[height, width]``."""
    left, right, top, bottom = module._reversed_padding_repeated_twice
    form = {"kernel_size": module.kernel_size, "stride": module.stride, "dilation": module.dilation}
    padded = torch.ones(1, 1, top + height + bottom, left + width + right)
    covered = nn.functional.fold(nn.functional.unfold(padded, **form), padded.shape[2:], **form)
    return covered[0, 0, top : top + height, left : left + width]


def reached_by_weight(module: nn.Conv2d | nn.Linear, active: Tensor) -> Tensor:
    """How many synapses whose weight is not zero the active inputs have, for every output."""
    present = (module.weight != 0).to(active.dtype)
    return _convolved(module, active, present) if isinstance(module, nn.Conv2d) else nn.functional.linear(active, present)


def _convolved(module: nn.Conv2d, x: Tensor, kernel: Tensor) -> Tensor:
    padding = module.padding if isinstance(module.padding, str) else tuple(module.padding)
    return nn.functional.conv2d(x, kernel, None, tuple(module.stride), padding, tuple(module.dilation), module.groups)
