"""From the kind of a node to the module that does it: one table."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from spikequant.errors import SpecError, unknown
from spikequant.models.activation import Activation
from spikequant.models.wiring import Node
from spikequant.neurons import LIF, Alpha, Competing, ParametricLIF, Refraining, Synaptic, Traces, TrainedThreshold
from spikequant.numerics import Surrogate, conv2d, linear, rated, unit


class Encode(nn.Module):
    """A batch as a sequence. ``direct``: a still image as one constant step; ``rate``: spikes with the pixel's probability,
    times ``scale``; ``events``: already ``[time, batch, ...]``. With ``step``, images become whole numbers of ``bits``, symmetric about 0:
    ``round(x / step)``.
    """

    draws: Tensor

    def __init__(self, encoding: str = "direct", seed: int = 0, step: float | None = None, bits: int = 8, scale: float = 1.0) -> None:
        super().__init__()
        if encoding not in ("direct", "rate", "events"):
            raise SpecError(f"encoding must be 'direct', 'rate' or 'events', got {encoding!r}")
        if step is not None and (encoding != "direct" or not step > 0 or not 2 <= bits <= 8):
            raise SpecError(f"whole numbers need encoding='direct', step above 0, 2 to 8 bits, got {encoding!r}, {step} and {bits}")
        self.encoding, self.seed, self.step, self.bits, self.scale = encoding, seed, step, bits, scale
        if encoding == "rate":
            self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, time: int) -> Tensor:
        """``[time, batch, ...]``, time 1 where all steps are alike."""
        if self.encoding == "events":
            return x
        if self.encoding == "direct":
            return (x if self.step is None else self.codes(x, self.step)).unsqueeze(0)
        self.draws += self.training
        # Evaluation repeats one draw, so that two networks are shown the same spikes.
        return rated(self.scale * x, time, self.seed, int(self.draws) if self.training else 0).to(x.dtype)

    def codes(self, x: Tensor, step: float) -> Tensor:
        """The whole numbers of an image, in its own dtype."""
        top = 2 ** (self.bits - 1) - 1
        return torch.round(x / torch.tensor(step, dtype=x.dtype, device=x.device)).clamp(-top, top)


class Convolution(nn.Conv2d):
    """``torch.nn.Conv2d``, which goes event by event over images that are mostly zero, as spikes are."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        plain = self.groups == 1 and self.padding_mode == "zeros" and self.dilation == (1, 1) and not isinstance(self.padding, str)
        if not plain or len({*self.stride}) > 1 or len({*self.padding}) > 1:
            general: Tensor = super()._conv_forward(input, weight, bias)
            return general
        return conv2d(input, weight, bias, self.stride[0], int(self.padding[0]), self._unit(weight))

    def _unit(self, weight: Tensor) -> Tensor | None:
        """What quantized weights are whole multiples of, where no gradient is asked for."""
        if self.training or torch.is_grad_enabled() or weight.device.type != "cpu" or not parametrize.is_parametrized(self, "weight"):
            return None
        quantizer: Any = self.parametrizations.weight[-1]  # type: ignore[union-attr, index]
        return unit(quantizer.grid()) if hasattr(quantizer, "grid") else None


class Linear(nn.Linear):
    """``torch.nn.Linear``, in bfloat16 also where the processor has no instructions for it."""

    def forward(self, input: Tensor) -> Tensor:
        """``x w' + b``."""
        return linear(input, self.weight, self.bias)


class SumPool(nn.Module):
    """The sum over windows: an average pool whose division the next layer's scale takes over, exact in integers."""

    def __init__(self, size: int | Sequence[int], stride: Sequence[int] | None = None) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        self.size = (height, width)
        self.stride = self.size if stride is None else (stride[0], stride[1])

    def forward(self, x: Tensor) -> Tensor:
        """Sums over windows of ``size``, ``stride`` apart, else side by side."""
        return functional.avg_pool2d(x, self.size, self.stride, divisor_override=1)


class Vote(nn.Module):
    """Each neuron votes for its class: per class the spikes of its neurons over their number (BindsNET's "all activity").

    ``labels`` ``[neuron]``: the class of each neuron, -1 where it has none; ``spikequant.training.assign`` finds them.
    """

    labels: Tensor

    def __init__(self, neurons: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("labels", torch.full((neurons,), -1))

    def forward(self, spikes: Tensor) -> Tensor:
        """Votes ``[batch, class]`` of spikes ``[batch, neuron]``."""
        voters = (self.labels.unsqueeze(1) == torch.arange(self.classes, device=spikes.device)).to(spikes.dtype)
        return spikes @ (voters / voters.sum(0).clamp(min=1))


def _lif(surrogate: str = "arctan", slope: float = 2.0, height: float = 1.0, **args: Any) -> LIF:
    return LIF(surrogate=Surrogate(surrogate, slope, height), **_as_tensors(args))


class OneToOne(nn.Module):
    """A recurrence from every neuron to itself: ``weight`` is one number, or one for each neuron."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, spikes: Tensor) -> Tensor:
        """What each spike adds to its own neuron."""
        return spikes * self.weight


RECURRENCES: dict[str, Callable[..., nn.Module]] = {"linear": nn.Linear, "conv2d": nn.Conv2d, "one_to_one": OneToOne}


def _synaptic(
    surrogate: str = "arctan", slope: float = 2.0, height: float = 1.0, recurrent: dict[str, Any] | None = None, **args: Any
) -> Synaptic:
    back = None
    if recurrent is not None:
        kind = str(recurrent.get("kind"))
        if kind not in RECURRENCES:
            raise SpecError(unknown("recurrence", kind, RECURRENCES))
        back = RECURRENCES[kind](**{name: value for name, value in recurrent.items() if name != "kind"})
    return Synaptic(surrogate=Surrogate(surrogate, slope, height), recurrent=back, **_as_tensors(args))


def _alpha(surrogate: str = "arctan", slope: float = 2.0, **args: Any) -> Alpha:
    return Alpha(surrogate=Surrogate(surrogate, slope), **_as_tensors(args))


def _parametric_lif(surrogate: str = "arctan", slope: float = 2.0, **args: Any) -> ParametricLIF:
    return ParametricLIF(surrogate=Surrogate(surrogate, slope), **_as_tensors(args))


def _trained_threshold(surrogate: str = "arctan", slope: float = 2.0, **args: Any) -> TrainedThreshold:
    return TrainedThreshold(surrogate=Surrogate(surrogate, slope), **args)


def _as_tensors(args: dict[str, Any]) -> dict[str, Any]:
    """Constants of one number a channel are lists in a wiring."""
    return {name: torch.tensor(value) if isinstance(value, list) else value for name, value in args.items()}


def _batch_norm(channels: int, space: int = 2, **args: Any) -> nn.Module:
    return (nn.BatchNorm2d if space == 2 else nn.BatchNorm1d)(channels, **args)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "encode": Encode,
    "conv2d": Convolution,
    "linear": Linear,
    "batch_norm": _batch_norm,
    "max_pool": nn.MaxPool2d,
    "sum_pool": SumPool,
    "mean_pool": nn.AvgPool2d,
    "average_pool": nn.AdaptiveAvgPool2d,
    "flatten": nn.Flatten,
    "dropout": nn.Dropout,
    "activation": Activation,
    "lif": _lif,
    "synaptic": _synaptic,
    "alpha": _alpha,
    "parametric_lif": _parametric_lif,
    "trained_threshold": _trained_threshold,
    "competing": Competing,
    "traces": Traces,
    "refraining": Refraining,
    "vote": Vote,
    "add": nn.Identity,
}


def layer(node: Node) -> nn.Module:
    """The module of a node.

    Raises:
        SpecError: its arguments do not fit its kind.
    """
    if "device" in node.args:
        raise SpecError(f"node {node.name!r} ({node.kind}): a wiring names no device; move the network with to(device)")
    try:
        return BUILDERS[node.kind](**node.args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError(f"node {node.name!r} ({node.kind}): {error}") from None
