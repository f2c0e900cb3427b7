"""The recipe that a chip can repeat: a network rewritten so that its simulation computes in whole numbers, held in float32.

Weights and biases stay real parameters; what the network computes with are their codes. Thresholds, leak and shift are whole
numbers per layer, found once, when the recipe is applied.
"""

import copy
import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.wiring import INPUT, Args, Node, Wiring
from spikequant.neurons import LIF
from spikequant.quantizers import Binary, FixedPoint, QuantizerSpec, Uniform
from spikequant.recipes.calibration import Loader
from spikequant.recipes.folding import (
    FIRING,
    Folded,
    current_retention,
    fold,
    is_fresh,
    largest_input,
    measured,
    origin,
    reset_timing,
    retention,
    units,
)
from spikequant.recipes.parts import Part
from spikequant.recipes.plan import plan
from spikequant.recipes.recipe import Arithmetic, Recipe
from spikequant.recipes.windows import MEANS, windows

Specs = dict[tuple[str, Part], QuantizerSpec | None]

REACH, WIDEST_CURRENT = 2, 24  # thresholds that a synaptic current must hold, and the most bits that it can have
SEARCH = torch.linspace(0.3, 1.0, 36, dtype=torch.float64)


class Scaling(NamedTuple):
    """How a layer becomes whole numbers: ``scale``, the real value of a weight of 1 per channel; ``shift`` above 0 gives the accumulator
    that many bits below 1, below 0 the state that many above; ``threshold`` in steps of the state.
    """

    scale: Tensor
    shift: int
    threshold: Tensor | None


class Scaled(nn.Module):
    """``x / scale``, per output channel: from a parameter's units to whole numbers."""

    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(shape[0], *[1] * (len(shape) - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """In units of the scale."""
        return x / self.scale


class Unscaled(Scaled):
    """``x scale``: the last layer's currents keep their units, so that a loss can read them; its scale is a power of two."""

    def forward(self, x: Tensor) -> Tensor:
        """In real units."""
        return x * self.scale


def integer_network(model: Network, recipe: Recipe, calibration: Loader | None, batches: int) -> tuple[Network, dict[str, Scaling]]:
    """The same network with batch norm folded away, its neurons in whole numbers, its parameters still real; and the scales to be hung.

    Raises:
        SpecError: something has no integer form, or data is needed.
    """
    how, specs = arithmetic(recipe), {(hung.layer, hung.part): hung.spec for hung in plan(model, recipe)}
    if is_fresh(model):
        model = measured(model, _needed(calibration, "its batch norms have seen no data"), batches)
    step = _input_step(model, how.input_bits, calibration, batches)
    model = copy.deepcopy(model).cpu()
    unit_of = units(model, step)
    folded = fold(model, unit_of)
    scalings = {name: scaling(model, name, each, specs, how) for name, each in folded.items()}
    network = Network(_rewritten(model, folded, scalings, how, step))
    for name, each in folded.items():
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear), "the table of layers builds these"
        layer.weight.data.copy_(each.weight)
        cast(Tensor, layer.bias).data.copy_(each.bias)
    return network.train(model.training), scalings


def scaling(model: Network, name: str, layer: Folded, specs: Specs, how: Arithmetic) -> Scaling:
    """The scales of one layer.

    Equations: ``scale_c`` least squares over ``max|w_c| / q``, at least the largest one over ``spread``; threshold
    ``round(theta 2^shift / scale_c)``, with the greatest shift that keeps it within ``headroom`` of the state.

    Raises:
        SpecError: a threshold rounds below 1, or a grid is not that of whole numbers.
    """
    top = largest_code(name, specs[name, "weights"])
    rows = layer.weight.reshape(len(layer.weight), -1)
    if layer.lif is None:
        return Scaling(_power_of_two(rows, top), 0, None)
    scale = _scales(rows, top)
    scale = torch.maximum(scale, scale.max() / how.spread)
    if not scale.max() > 0:
        raise SpecError(f"{name}: all its weights are 0; train it first")
    lif = model.get_submodule(layer.lif)
    assert isinstance(lif, LIF), "the table of layers builds it"
    real = (lif.fires_at.detach().double() - origin(layer.lif, lif)).expand(len(rows)) / scale
    shift = min(math.floor(math.log2(how.headroom * 2 ** (state_bits(layer.lif, specs[layer.lif, "state"]) - 1) / float(real.max()))), 8)
    threshold = torch.round(real * 2.0**shift)
    if threshold.min() < 1:
        channel = int(threshold.argmin())
        raise SpecError(f"{layer.lif}: the threshold of channel {channel} rounds to 0; use more state bits, or a smaller spread")
    return Scaling(scale, shift, threshold)


def hang_scale(layer: nn.Module, tensor: str) -> None:
    """Before a grid of whole numbers: the scale, 1 until it is set."""
    parametrize.register_parametrization(layer, tensor, Scaled(tuple(getattr(layer, tensor).shape)), unsafe=True)


def hang_unit(layer: nn.Module, tensor: str) -> None:
    """After the grid, where a layer feeds no neuron: back to real units."""
    parametrize.register_parametrization(layer, tensor, Unscaled(tuple(getattr(layer, tensor).shape)), unsafe=True)


def set_scales(network: Network, scalings: dict[str, Scaling]) -> None:
    """Give every hung scale its value."""
    for name, each in scalings.items():
        for held in cast(Any, network.get_submodule(name)).parametrizations.values():
            for part in held:
                if isinstance(part, Scaled):
                    part.scale.copy_(each.scale.reshape(part.scale.shape))


def arithmetic(recipe: Recipe) -> Arithmetic:
    """How an integer recipe computes.

    Raises:
        SpecError: it is none.
    """
    if recipe.arithmetic is None:
        raise SpecError("the recipe is not one of whole numbers; make it with Recipe.integer(...)")
    return recipe.arithmetic


def largest_code(name: str, spec: QuantizerSpec | None) -> int:
    """The largest whole number of a weight grid; 0 for binary weights.

    Raises:
        SpecError: the grid is not one of ``Recipe.integer``.
    """
    if isinstance(spec, Binary) and spec.scale == "one":
        return 0
    top = (1 << ((spec.width if spec is not None else None) or 1)) // 2 - 1
    if isinstance(spec, Uniform) and spec.bits <= 8 and spec.high == top and spec.levels_at == "zero":
        return top
    raise SpecError(f"{name}: integer weights are those of Recipe.integer, whole numbers of 1 to 8 bits, got {spec}")


def state_bits(name: str, spec: QuantizerSpec | None) -> int:
    """Bits of a state grid of whole numbers.

    Raises:
        SpecError: the grid is not one of ``Recipe.integer``.
    """
    if isinstance(spec, FixedPoint) and spec.integer is not None and not spec.fraction and spec.rounding == "nearest":
        return 1 + spec.integer
    raise SpecError(f"{name}: an integer state is that of Recipe.integer, whole numbers, got {spec}")


def bias_spec(wiring: Wiring, name: str) -> FixedPoint:
    """The grid of a layer's bias, in units of a weight of 1: as fine as the accumulator."""
    fraction = accumulator_shift(wiring, name)
    return FixedPoint(integer=min(15, 23 - fraction), fraction=fraction)


def accumulator_shift(wiring: Wiring, name: str) -> int:
    """Bits of the accumulator below a weight of 1: the gain of the neuron that a layer feeds is 2 to this power."""
    lif = fed(wiring, name)
    return 0 if lif is None else round(math.log2(float(cast(float, lif.args.get("gain", 1.0)))))


def fed(wiring: Wiring, name: str) -> Node | None:
    """The neuron that a layer of synapses feeds, through pools and the like; None for the last layer."""
    for node in wiring.nodes:
        if name in node.inputs:
            return node if node.kind in FIRING else fed(wiring, node.name)
    return None


def _needed(calibration: Loader | None, why: str) -> Loader:
    if calibration is None:
        raise SpecError(f"an integer recipe needs calibration=loader of training data here: {why}")
    return calibration


def _input_step(model: Network, bits: int, calibration: Loader | None, batches: int) -> float:
    encodes = model.wiring.of_kind("encode")
    if len(encodes) != 1 or any(INPUT in node.inputs for node in model.wiring.nodes if node.kind != "encode"):
        raise SpecError(f"{model.wiring.name}: an integer network begins with one encode node, which alone reads the input")
    if encodes[0].args.get("encoding", "direct") != "direct":
        return 1.0
    loader = _needed(calibration, "the range of its images is not known")
    return largest_input(loader, batches) / ((1 << (bits - 1)) - 1)


def _scales(rows: Tensor, top: int) -> Tensor:
    """Per row; by least squares of the rounding error."""
    if top == 0:
        return rows.abs().mean(1)
    reach = rows.abs().amax(1, keepdim=True) / top
    trials = reach * SEARCH
    steps = trials.unsqueeze(2).clamp(min=1e-30)
    error = ((rows.unsqueeze(1) / steps).round().clamp(-top, top) * steps - rows.unsqueeze(1)).square().sum(2)
    return trials.gather(1, error.argmin(1, keepdim=True)).squeeze(1)


def _power_of_two(rows: Tensor, top: int) -> Tensor:
    """One for all rows: classes are compared with each other."""
    whole = rows.reshape(1, -1)
    if not whole.any():
        raise SpecError("all weights of the last layer are 0; train it first")
    if top == 0:
        return torch.full((len(rows),), 2.0 ** round(math.log2(float(whole.abs().mean()))), dtype=torch.float64)
    reach = math.ceil(math.log2(float(whole.abs().max()) / top))
    trials = [math.ldexp(1.0, reach - lower) for lower in range(4)]
    errors = [float(((whole / step).round().clamp(-top, top) * step - whole).square().sum()) for step in trials]
    return torch.full((len(rows),), trials[errors.index(min(errors))], dtype=torch.float64)


def _rewritten(model: Network, folded: dict[str, Folded], scalings: dict[str, Scaling], how: Arithmetic, step: float) -> Wiring:
    """The wiring without batch norm, its pools sums, its neurons in whole numbers."""
    shapes = {INPUT: model.wiring.input_shape, **model.shapes()}
    gone = {each.norm: name for name, each in folded.items() if each.norm is not None}
    before = {each.lif: name for name, each in folded.items() if each.lif is not None}
    nodes = []
    for node in model.wiring.nodes:
        if node.name in gone:
            continue
        inputs = tuple(gone.get(source, source) for source in node.inputs)
        kind, args = node.kind, dict(node.args)
        if kind == "encode" and args.get("encoding", "direct") == "direct":
            args |= {"step": step, "bits": how.input_bits}
        elif kind in ("conv2d", "linear"):
            args["bias"] = True
        elif kind in MEANS:
            kind, args = "sum_pool", windows(node, shapes[node.inputs[0]], shapes[node.name]).args
        elif kind in FIRING:
            args = _neuron(node.name, model.get_submodule(node.name), scalings[before[node.name]], how)
            kind = "synaptic" if "synapse" in args else "lif"
        nodes.append(Node(name=node.name, kind=kind, inputs=inputs, args=args))
    return Wiring.read({**model.wiring.fields(), "nodes": [node.fields() for node in nodes]})


def _refuse_narrow(name: str, threshold: float, bits: int) -> None:
    """A current that saturates below the threshold would not charge a membrane to it; ``threshold`` in steps of the accumulator."""
    reach = 2 ** (bits - 1) / threshold
    if reach < REACH:
        wanted = bits + math.ceil(math.log2(REACH / reach))
        way = f"use current_bits={wanted}" if wanted <= WIDEST_CURRENT else "take fewer weight bits, or more state bits"
        raise SpecError(f"{name}: a synaptic current of {bits} bits reaches {reach:.3g} thresholds, and must reach {REACH}; {way}")


def _neuron(name: str, lif: nn.Module, layer: Scaling, how: Arithmetic) -> Args:
    """The arguments of a neuron that computes in whole numbers."""
    assert isinstance(lif, LIF), "the table of layers builds it"
    assert layer.threshold is not None, "the layer feeds a neuron"
    d, kept, current = lif.dynamics, retention(lif), current_retention(lif)
    synapse: Args = {}
    if current is not None:
        _refuse_narrow(name, float(layer.threshold.max()) * 2.0 ** max(-layer.shift, 0), how.current_bits)
        synapse = {"synapse": round(current * 2**how.leak_bits) / 2**how.leak_bits, "form": "whole", "sees": "stored"}
    curve = d.surrogate.stretched(float(((lif.fires_at.detach().double() - lif.rest) / layer.threshold).mean()))
    return {
        **synapse,
        "charge": "multiply_shift",
        "tau": 1.0,
        "multiplier": round(kept * 2**how.leak_bits),
        "shift": how.leak_bits,
        "leak_rounding": how.leak_rounding,
        "gain": 2.0 ** max(layer.shift, 0),
        "state_shift": max(-layer.shift, 0),
        "threshold": [float(each) for each in layer.threshold],
        "reset": d.reset,
        "reset_timing": reset_timing(name, lif),
        "detach_reset": d.detach_reset,
        "compare": d.compare,
        "compare_at": d.compare_at,
        "surrogate": curve.kind,
        "slope": curve.slope,
        **({"height": curve.height} if curve.height != 1 else {}),
    }
