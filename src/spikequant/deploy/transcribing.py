"""From a network that computes in whole numbers (``Recipe.integer``) to the program that says so: nothing changes."""

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikequant.deploy.operations import Add, AnyOperation, Conv2d, Dense, Flatten, Leak, Lif, OrPool, SumPool, Synapse
from spikequant.deploy.program import INPUT, Header, Program, Source
from spikequant.errors import SpecError
from spikequant.models import Network, layers
from spikequant.models.layers import Encode
from spikequant.models.wiring import Node
from spikequant.neurons import LIF, Synaptic
from spikequant.numerics import Affine
from spikequant.quantizers import Binary
from spikequant.recipes import Recipe, accumulator_shift, fed, plan
from spikequant.recipes.folding import FIRING, reset_timing
from spikequant.recipes.windows import pair

Integers = NDArray[np.int64]


class Pixels(NamedTuple):
    """How a byte becomes what a network is shown: ``(byte / scale - mean) / std``, per channel."""

    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def takes_pixels(model: Network) -> bool:
    """Whether a network is shown images as they are, ``encoding="direct"``."""
    return any(node.args.get("encoding", "direct") == "direct" for node in model.wiring.of_kind("encode"))


class Codes(NamedTuple):
    """What a layer of synapses stores: codes, their coding and width, the basis of planes, and the bias."""

    weight: Integers
    bits: int
    bias: Integers
    basis: Integers | None = None


def transcribed(model: Network, pixels: Pixels | None, events: tuple[int, int]) -> Program:
    """The program of an integer network, operation by operation.

    Raises:
        SpecError: something in it is no whole number, or a bound cannot be proven.
    """
    recipe = model.recipe
    assert isinstance(recipe, Recipe), "the caller has checked"
    widths = {hung.layer: hung.spec for hung in plan(model, recipe) if hung.part == "weights"}
    operations: list[AnyOperation] = []
    tensors: dict[str, Integers] = {}
    named = {INPUT: INPUT}
    for node in model.wiring.nodes:
        inputs = tuple(named[source] for source in node.inputs)
        named[node.name] = node.name
        if node.kind in ("encode", "dropout"):
            named[node.name] = inputs[0]
            continue
        operations.append(_operation(model, node, inputs))
        if node.kind in ("conv2d", "linear"):
            codes = _codes(model, node.name, widths[node.name])
            operations[-1], stored = stored_as(operations[-1], codes)
            tensors |= stored
        elif node.kind in FIRING:
            tensors[f"{node.name}.threshold"] = _thresholds(model, node)
    encode = next(module for module in model.modules() if isinstance(module, Encode))
    source, table = seen(encode, model.wiring.input_shape, pixels, events)
    header = Header(
        name=model.wiring.name, time=model.wiring.time, source=source, operations=tuple(operations), info={"recipe": recipe.fields()}
    )
    return Program(header, tensors | table)


def stored_as(op: AnyOperation, codes: Codes) -> tuple[AnyOperation, dict[str, Integers]]:
    """An operation with the width and coding of its codes, and the tensors that it then stores."""
    coding = "integer" if codes.basis is None else "planes"
    tensors = {f"{op.name}.weight": codes.weight, f"{op.name}.bias": codes.bias}
    if codes.basis is not None:
        tensors[f"{op.name}.basis"] = codes.basis
    return op.model_copy(update={"bits": codes.bits, "coding": coding}), tensors


def seen(encode: Encode, shape: tuple[int, ...], pixels: Pixels | None, events: tuple[int, int]) -> tuple[Source, dict[str, Integers]]:
    """What the program is fed; and the table of its pixels.

    Raises:
        SpecError: pixels are given to a network that is not shown still images, or are none; events are no range.
    """
    if encode.encoding != "direct":
        if pixels is not None:
            raise SpecError(f"pixels are for a network of encoding 'direct', got {encode.encoding!r}; leave them out")
        if not isinstance(events, tuple | list) or len(events) != 2:
            raise SpecError(f"events must be the lowest and the highest whole number of a step, as (0, 1), got {events!r}")
        return Source(shape=shape, still=False, low=events[0], high=events[1]), {}
    assert encode.step is not None, "integer networks have one"
    top = 2 ** (encode.bits - 1) - 1
    source = Source(shape=shape, low=-top, high=top, step=encode.step, table=pixels is not None)
    return source, {} if pixels is None else {"input.table": _table(encode, encode.step, pixels, shape[0])}


def _table(encode: Encode, step: float, pixels: Pixels, channels: int) -> Integers:
    if not isinstance(pixels, Pixels):
        raise SpecError(f"pixels must be Pixels(scale, mean, std), as Pixels(255.0), got {pixels!r}")
    mean, std = (torch.tensor(each, dtype=torch.float32).reshape(-1, 1) for each in (pixels.mean, pixels.std))
    if {len(mean), len(std)} - {1, channels}:
        raise SpecError(f"pixels: mean and std must have 1 value, or one for each of {channels} channels, got {len(mean)} and {len(std)}")
    if not (pixels.scale > 0 and bool((std > 0).all())):
        raise SpecError(f"pixels: scale and std must be above 0, got {pixels.scale} and {pixels.std}")
    shown = ((torch.arange(256).float() / pixels.scale - mean) / std).expand(channels, 256)
    return encode.codes(shown, step).numpy().astype(np.int64)


def whole(value: Tensor, what: str) -> Integers:
    """The whole numbers that a tensor holds.

    Raises:
        SpecError: it holds others.
    """
    found = value.detach().double().numpy()
    if not np.array_equal(found, np.rint(found)):
        raise SpecError(f"{what} holds values that are no whole numbers, as {found[found != np.rint(found)].flat[0]}; use Recipe.integer")
    return cast(Integers, found.astype(np.int64))


def _operation(model: Network, node: Node, inputs: tuple[str, ...]) -> AnyOperation:
    module = model.get_submodule(node.name)
    common: dict[str, Any] = {"name": node.name, "inputs": inputs}
    if isinstance(module, nn.Conv2d):
        return convolution(module, common, accumulator_shift(model.wiring, node.name))
    if isinstance(module, nn.Linear):
        return Dense(**common, bits=8, features=module.out_features, shift=accumulator_shift(model.wiring, node.name))
    if isinstance(module, LIF):
        return _neurons(module, common)
    return plain(node, module, common)


def plain(node: Node, module: nn.Module, common: dict[str, Any]) -> AnyOperation:
    """An operation without tensors.

    Raises:
        SpecError: the node has no integer form.
    """
    if node.kind == "add":
        return Add(**common)
    if node.kind == "flatten":
        return Flatten(**common)
    if node.kind == "sum_pool":
        assert isinstance(module, layers.SumPool), "the table of layers builds it"
        return SumPool(**common, size=module.size, stride=module.stride)
    if isinstance(module, nn.MaxPool2d) and not module.padding and module.dilation == 1 and not module.ceil_mode:
        return OrPool(**common, size=pair(module.kernel_size), stride=pair(module.stride))
    raise SpecError(f"{node.name}: {node.kind} {node.args} has no integer form; use windows without padding and dilation")


def convolution(module: nn.Conv2d, common: dict[str, Any], shift: int) -> Conv2d:
    """The geometry of a convolution."""
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise SpecError(f"{common['name']}: padding must be a number of zeros, got {module.padding!r} {module.padding_mode!r}")
    geometry: dict[str, Any] = {name: pair(getattr(module, name)) for name in ("stride", "padding", "dilation")}
    return Conv2d(
        **common, **geometry, bits=8, channels=module.out_channels, kernel=pair(module.kernel_size), groups=module.groups, shift=shift
    )


def _neurons(lif: LIF, common: dict[str, Any]) -> Lif:
    d, state = lif.dynamics, lif.held()
    if d.charge != "multiply_shift" or state is None or state.rounding != "half_up" or not isinstance(state.grid, Affine) or state.wrap:
        raise SpecError(f"{common['name']}: this neuron does not compute in whole numbers; apply Recipe.integer to the float network")
    size = state.grid.size
    return Lif(
        **common,
        state_bits=size.bit_length() - 1,
        shift=d.state_shift,
        leak=_leak(d.multiplier, d.shift, d.leak_rounding),
        reset=d.reset,
        timing=reset_timing(common["name"], lif),
        compare=d.compare,
        compare_at=d.compare_at,
        snapped="after_reset" if lif.snapped == "after_reset" else "before_fire",
        synapse=_synapse(lif, common["name"]) if isinstance(lif, Synaptic) else None,
    )


def _synapse(lif: Synaptic, name: str) -> Synapse:
    d, state = lif.dynamics, lif.held_current()
    if lif.form != "whole" or lif.sees != "stored" or state is None or not isinstance(state.grid, Affine):
        raise SpecError(f"{name}: this synaptic current does not compute in whole numbers; apply Recipe.integer to the float network")
    return Synapse(bits=state.grid.size.bit_length() - 1, leak=_leak(round(float(lif.synapse) * 2**d.shift), d.shift, d.leak_rounding))


def _leak(multiplier: int, shift: int, rounding: Any) -> Leak:
    """None of 1, and half of a membrane rounded up is what is left of it less its shift by 1."""
    if multiplier == 1 << shift:
        return Leak()
    if 2 * multiplier == 1 << shift and rounding == "half_up":
        return Leak(kind="shift", shift=1)
    return Leak(kind="multiply_shift", multiplier=multiplier, shift=shift, rounding=rounding)


def _thresholds(model: Network, node: Node) -> Integers:
    lif = model.get_submodule(node.name)
    assert isinstance(lif, LIF), "the table of layers builds it"
    channels = model.shapes()[node.name][0]
    return whole(lif.threshold.expand(channels).cpu(), f"the threshold of {node.name}")


def _codes(model: Network, name: str, spec: Any) -> Codes:
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Conv2d | nn.Linear), "the table of layers builds these"
    assert layer.bias is not None, "integer networks have one"
    weight, bias = (each.detach().double().cpu() for each in (layer.weight, layer.bias))
    if fed(model.wiring, name) is None:
        # The last layer computes in real units, a power of two for each whole number.
        unit = _power(torch.cat([weight.flatten(), bias.flatten()]))
        weight, bias = weight * unit, bias * unit
    codes = whole(weight, f"the weight of {name}")
    shifted = whole(bias * 2.0 ** accumulator_shift(model.wiring, name), f"the bias of {name}")
    if isinstance(spec, Binary) and np.isin(codes, (-1, 1)).all():
        return Codes((codes + 1) // 2, 1, shifted, np.ones((len(codes), 1), np.int64))
    width = spec.width if spec is not None and not isinstance(spec, Binary) else needed(codes.min(), codes.max())
    return Codes(codes, width, shifted)


def needed(low: float, high: float) -> int:
    """The bits of two's complement that hold a range of whole numbers.

    >>> needed(-4, 3), needed(0, 4)
    (3, 4)
    """
    return next(bits for bits in range(1, 64) if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1))


def _power(values: Tensor) -> float:
    """The smallest power of two, at least 2^-16, that makes whole numbers of all."""
    for exponent in range(-16, 64):
        scaled = values * 2.0**exponent
        if torch.equal(scaled, scaled.round()):
            return float(2.0**exponent)
    raise SpecError("the last layer holds values that are no whole numbers of any power of two; use Recipe.integer")
