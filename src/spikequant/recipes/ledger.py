"""The memory ledger: what a network stores, in bits, packed."""

import math
from typing import NamedTuple, cast

from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models import Activation, Network, activations
from spikequant.neurons import Competing, Refraining, SecondOrder, Traces, spiking
from spikequant.quantizers import Binary, Quantizer, QuantizerSpec, Uniform
from spikequant.recipes.hang import constant_quantizer
from spikequant.recipes.norms import without_norms
from spikequant.recipes.parts import HOLDERS, NAMES, Part, stateful
from spikequant.recipes.plan import Hung, original, plan, weighted
from spikequant.recipes.recipe import Recipe

FLOAT = 32


class Ledger(NamedTuple):
    """Bits of everything that a network holds while it runs one sample.

    ``norm_bits``: batch norm's scale and shift, which an integer program folds into thresholds. ``table_bits``: levels and bases
    that codes refer to. ``auxiliary_bits``: what neurons hold besides (``auxiliary``). ``qspinn_bits`` is that paper's formula,
    ``N_w B_w + sum over neuron parameters of N_k B_k``, with state and threshold, and V_reset and theta of neurons that compete, stored
    for every neuron, as are alpha, beta and gamma of DECOLLE's (Q-SpiNN, Eq. 7), and nothing else.
    """

    weight_bits: int = 0
    bias_bits: int = 0
    norm_bits: int = 0
    table_bits: int = 0
    threshold_bits: int = 0
    constant_bits: int = 0
    state_bits: int = 0
    auxiliary_bits: int = 0
    qspinn_bits: int = 0

    @property
    def total_bits(self) -> int:
        """All of it, but for Q-SpiNN's own sum."""
        return sum(self[:-1])

    @property
    def parts(self) -> dict[str, int]:
        """What adds up to the total, by name."""
        return dict(zip(self._fields[:-1], self[:-1], strict=True))


def memory(model: Network, recipe: Recipe | None = None) -> Ledger:
    """The ledger of a model: as it stands, or as ``recipe`` would make it.

    Raises:
        SpecError: it is no Network, or a width depends on data that the model has not seen, as those of an integer recipe do.

    >>> from spikequant.models import build
    >>> memory(build("digits")).weight_bits == 32 * (16 * 9 + 32 * 16 * 9 + 128 * 10)
    True
    """
    if not isinstance(model, Network):
        raise SpecError(f"memory counts a Network, got {type(model).__name__}; adopt it first")
    held = model.recipe if isinstance(model.recipe, Recipe) else Recipe()
    wanted = held if recipe is None else recipe
    if wanted != held and wanted.arithmetic is not None:
        raise SpecError("an integer recipe finds its widths from weights and data; ask for the memory of the quantized model")
    if wanted != held and wanted.batch_norm == "folded":
        model = without_norms(model)
    shapes = model.shapes()
    holders = Holders.of(model)
    entries = [_entry(holders, hung, wanted == held, shapes) for hung in plan(model, wanted)]
    norms = sum(2 * FLOAT * module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d))
    columns = [sum(column) for column in zip(*entries, strict=True)]
    return Ledger(*columns)._replace(norm_bits=norms, auxiliary_bits=sum(auxiliary(model).values()))


def auxiliary(model: Network) -> dict[str, int]:
    """Bits that Q-SpiNN's formula leaves uncounted, by name: what the neurons of an unsupervised network hold besides.

    >>> from spikequant.models import build
    >>> auxiliary(build("stdp-net"))["refractory counters"]
    1200
    """
    found: dict[str, int] = {}
    for neuron in spiking(model).values():
        if isinstance(neuron, Competing):
            inputs = sum(layer.weight.shape[1] for layer in weighted(model).values() if isinstance(layer.weight, Tensor))
            found["presynaptic traces"] = FLOAT * inputs
            found["postsynaptic traces"] = FLOAT * neuron.neurons
            found["refractory counters"] = neuron.competition.refractory.bit_length() * neuron.neurons
            found["conductances"] = 2 * FLOAT * neuron.neurons if neuron.competition.conductance else 0
            found["lateral weights"] = FLOAT  # one strength for all pairs
    return found


def widths(model: Network) -> dict[tuple[str, Part], int]:
    """Bits of one value of every tensor as the model stands, by layer and part.

    >>> from spikequant.models import build
    >>> widths(build("digits"))["readout", "weights"]
    32
    """
    held = model.recipe if isinstance(model.recipe, Recipe) else Recipe()
    holders = Holders.of(model)
    return {(hung.layer, hung.part): _width(hung, _quantizer(holders, hung)) for hung in plan(model, held)}


class Holders(NamedTuple):
    """The modules of a model that own tensors, by name."""

    layers: dict[str, nn.Module]
    activations: dict[str, Activation]
    neurons: dict[str, nn.Module]

    @classmethod
    def of(cls, model: Network) -> "Holders":
        """Those of this model."""
        return cls(weighted(model), activations(model), stateful(model))


def _quantizer(holders: Holders, hung: Hung) -> object:
    """What gives the tensor its grid now."""
    if hung.part in ("weights", "biases"):
        layer = holders.layers[hung.layer]
        return getattr(getattr(layer, "parametrizations", None), NAMES[hung.part], [None])[0]
    if hung.part == "activations":
        return holders.activations[hung.layer].quantizer
    neuron = holders.neurons[hung.layer]
    if hung.part in HOLDERS:
        return cast("object", getattr(neuron, HOLDERS[hung.part]))
    return None if hung.spec is None else constant_quantizer(hung.spec, getattr(neuron, hung.part))


def _entry(holders: Holders, hung: Hung, as_is: bool, shapes: dict[str, tuple[int, ...]]) -> Ledger:
    if hung.part in ("weights", "biases"):
        value = original(holders.layers[hung.layer], NAMES[hung.part])
        size = 0 if value is None else value.numel()
        bits = size * _width(hung, _quantizer(holders, hung) if as_is else None)
        tables = _table_bits(hung.spec, 1 if value is None else value.shape[0])
        if hung.part == "weights":
            return Ledger(weight_bits=bits, table_bits=tables, qspinn_bits=bits)
        return Ledger(bias_bits=bits, table_bits=tables)
    if hung.part == "activations":  # passed on at once, never stored
        return Ledger()
    neuron = holders.neurons[hung.layer]
    count = values(neuron, hung.part, shapes[hung.layer])
    if hung.part in HOLDERS:
        bits = count * _width(hung, _quantizer(holders, hung) if as_is else None)
        tables = _table_bits(hung.spec, shapes[hung.layer][0])
        if hung.part == "bound":
            return Ledger(threshold_bits=bits, table_bits=tables, qspinn_bits=bits)
        return Ledger(state_bits=bits, table_bits=tables, qspinn_bits=bits)
    constant: Tensor = getattr(neuron, hung.part)
    width = _width(hung, _quantizer(holders, hung))
    bits, tables = constant.numel() * width, _table_bits(hung.spec, constant.numel())
    if hung.part == "threshold":
        return Ledger(threshold_bits=bits, table_bits=tables, qspinn_bits=count * width)
    return Ledger(
        constant_bits=bits, table_bits=tables, qspinn_bits=count * width if isinstance(neuron, Competing | Refraining | Traces) else 0
    )


def values(neuron: nn.Module, part: Part, shape: tuple[int, ...]) -> int:
    """How many numbers the neurons of one layer, ``shape`` of them, hold of one part."""
    return math.prod(shape) * (neuron.currents if isinstance(neuron, SecondOrder) and part == "current" else 1)


def _width(hung: Hung, quantizer: object) -> int:
    if hung.spec is None:
        return FLOAT
    if hung.spec.width is not None:
        return hung.spec.width
    if isinstance(quantizer, Quantizer):
        return int(quantizer.grid().size - 1).bit_length()
    raise SpecError(f"{hung.layer}: the width of {hung.spec.label()} depends on data; ask for the memory of the quantized model")


def _table_bits(spec: QuantizerSpec | None, channels: int) -> int:
    """LQ-Net stores a basis per channel, ``Binary`` a scale; exponential levels are stored once; affine grids store step and offset."""
    if spec is None or spec.kind in ("fixed_point", "anchored") or spec.width is None:
        return 0
    if spec.kind == "lqnet":
        return FLOAT * channels * spec.width
    if spec.kind in ("threshold_centered", "zero_centered"):
        return FLOAT * (1 << spec.width)
    if isinstance(spec, Binary):
        return FLOAT * channels if spec.scale == "mean" else 0
    if isinstance(spec, Uniform) and spec.below is not None:
        return 3 * FLOAT  # two steps and where they meet
    return spec.stored_bits(channels)
