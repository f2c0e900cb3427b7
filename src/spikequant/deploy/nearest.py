"""The nearest program of a network that does not compute in whole numbers, and what had to change."""

import math
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikequant.deploy.operations import AnyOperation, Dense, Leak, Lif, SumPool, Synapse
from spikequant.deploy.program import INPUT, Header, Program
from spikequant.deploy.transcribing import Codes, Pixels, convolution, needed, plain, seen, stored_as
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.layers import Encode
from spikequant.models.wiring import Node
from spikequant.neurons import LIF
from spikequant.numerics import Affine, State, Table, levels
from spikequant.quantizers import LearnedBasis, Quantizer
from spikequant.quantizers.baselines import Clustered
from spikequant.recipes.folding import Folded, current_retention, fold, origin, reset_timing, retention, units
from spikequant.recipes.windows import MEANS, windows

Integers = NDArray[np.int64]
BITS, STATE_BITS, LEAK_BITS, READOUT_SHIFT = 8, 16, 12, 8
CURRENT_BITS, WIDEST_CURRENT, PRODUCT_BITS, THRESHOLDS = 20, 24, 31, 16  # a synaptic current reaches so many thresholds, if it can
TABLE_REACH, LARGEST_LEVEL, LARGEST_TABLE, FINEST = 2**14, 2**20, 2**23, 4
SPREAD = 64.0


class Whole(NamedTuple):
    """A layer's weights as codes: ``scale`` is the real value of 1, per channel; ``changed`` says what was lost, if anything."""

    codes: Integers
    bits: int
    scale: Tensor
    basis: Integers | None = None
    changed: str | None = None


class Membranes(NamedTuple):
    """A layer's neurons as an operation, its tensors, the shift of the accumulator before it, and what was lost."""

    op: Lif
    tensors: dict[str, Integers]
    shift: int
    changed: tuple[str, ...]


def approximated(model: Network, step: float, pixels: Pixels | None, events: tuple[int, int]) -> tuple[Program, list[str]]:
    """The nearest program, and what differs from the network, in words.

    Weights on a grid keep their codes; others become ``BITS`` bits. States on a grid of up to 256 levels become codebooks, others
    ``STATE_BITS`` bits. Batch norm, scales and time constants become thresholds and biases.

    Raises:
        SpecError: something has no integer form, a threshold is below 1, or a bound cannot be proven.
    """
    folded = fold(model, units(model, step))
    wholes = {name: whole_weights(name, model.get_submodule(name), each) for name, each in folded.items()}
    shapes = {INPUT: model.wiring.input_shape, **model.shapes()}
    before = {each.lif: name for name, each in folded.items() if each.lif is not None}
    neurons = {lif: membranes(model, lif, wholes[name].scale) for lif, name in before.items()}
    named, operations, tensors = {INPUT: INPUT}, list[AnyOperation](), dict[str, Integers]()
    gone = {each.norm for each in folded.values()}
    for node in model.wiring.nodes:
        inputs = tuple(named[source] for source in node.inputs)
        named[node.name] = node.name
        if node.kind in ("encode", "dropout") or node.name in gone:
            named[node.name] = inputs[0]
        elif node.name in folded:
            each = folded[node.name]
            shift = READOUT_SHIFT if each.lif is None else neurons[each.lif].shift
            op, stored = _synapses(model.get_submodule(node.name), node.name, inputs, wholes[node.name], (each.bias, shift))
            operations.append(op)
            tensors |= stored
        elif node.name in neurons:
            operations.append(neurons[node.name].op.model_copy(update={"inputs": inputs}))
            tensors |= neurons[node.name].tensors
        else:
            operations.append(_other(model, node, inputs, shapes))
    source, table = seen(_encode(model, step), model.wiring.input_shape, pixels, events)
    header = Header(name=model.wiring.name, time=model.wiring.time, source=source, operations=tuple(operations))
    changed = [f"input: images become {source.low} to {source.high}"] if source.still else []
    changed += [f"{name}: {each.changed}" for name, each in wholes.items() if each.changed]
    changed += [f"{name}: {words}" for name, each in neurons.items() for words in each.changed]
    return Program(header, tensors | table), changed


def whole_weights(name: str, layer: nn.Module, folded: Folded) -> Whole:
    """The codes of a layer's weights: those of their grid where it has whole numbers, else the nearest of ``BITS`` bits.

    Raises:
        SpecError: its weights are all 0, or not finite.
    """
    held = getattr(getattr(layer, "parametrizations", None), "weight", [None])[0]
    found = on_grid(held, cast(Tensor, layer.weight).detach().double(), folded.gamma) if isinstance(held, Quantizer) else None
    if found is not None and (folded.lif is not None or bool((found.scale == found.scale[0]).all())):
        return found
    weight = folded.weight
    reach = weight.abs().reshape(len(weight), -1).amax(1) / (2 ** (BITS - 1) - 1)
    if not 0 < float(reach.max()) < math.inf:
        largest = float(weight.abs().max())
        raise SpecError(f"{name}: its largest weight is {largest} once batch norm is folded in, must be finite and above 0; train it first")
    scale = torch.maximum(reach, reach.max() / SPREAD) if folded.lif is not None else reach.max().expand(len(weight))
    codes = torch.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    why = "its classes need one scale" if found is not None else "its weights are float, or on a grid without whole numbers"
    return Whole(integers(codes), BITS, scale, changed=f"weights become {BITS} bits ({why})")


def on_grid(quantizer: Quantizer, weight: Tensor, gamma: Tensor) -> Whole | None:
    """The codes of weights that lie on a grid; a negative gamma turns their signs."""
    rows = gamma.reshape(-1, *[1] * (weight.ndim - 1))
    if bool((gamma == 0).any()):
        return None
    if isinstance(quantizer, LearnedBasis):
        return _planes(quantizer.basis.double(), weight, gamma)
    if isinstance(quantizer, Clustered):
        return _multiples(weight, quantizer.value_step.double(), gamma, quantizer.spikefit.value_bits)
    grid = quantizer.grid()
    if isinstance(grid, Table) and grid.size == 2 and bool((grid.levels[..., 0] == -grid.levels[..., 1]).all()):  # Q-SNN
        signs = (weight > 0) ^ (rows < 0)
        scale = grid.levels[..., 1].detach().double().expand(len(weight)) * gamma.abs()
        return Whole(integers(signs), 1, scale, np.ones((len(weight), 1), np.int64))
    if not isinstance(grid, Affine):
        return None
    step = grid.step.detach().double()
    step = step.reshape(-1, *[1] * (weight.ndim - 1)) if step.ndim else step
    shift, bits = float(grid.shift.reshape(-1)[0]), (grid.size - 1).bit_length()
    if shift == 0:
        return _multiples(weight, step, gamma, bits)
    if shift == 0.5 and grid.size == 1 << bits and bits <= BITS and float(grid.lowest.reshape(-1)[0]) == -(grid.size // 2):
        code = torch.round(weight / step - 0.5) + grid.size // 2
        code = torch.where(rows < 0, grid.size - 1 - code, code)
        basis = np.tile(1 << np.arange(bits), (len(weight), 1))
        return Whole(integers(code), bits, (step / 2 * rows.abs()).reshape(-1), basis)
    return None


def _multiples(weight: Tensor, step: Tensor, gamma: Tensor, bits: int) -> Whole | None:
    """Weights that are whole multiples of a step."""
    rows = gamma.reshape(-1, *[1] * (weight.ndim - 1))
    codes = torch.round(weight / step) * torch.sign(rows)
    bits = max(needed(float(codes.min()), float(codes.max())), bits)
    return Whole(integers(codes), bits, (step * rows.abs()).reshape(-1)) if bits <= BITS else None


def _planes(basis: Tensor, weight: Tensor, gamma: Tensor) -> Whole:
    """LQ-Net: codes of the signs, and the basis in 8 bits."""
    bits = basis.shape[1]
    signs = 2.0 * ((torch.arange(1 << bits).unsqueeze(1) >> torch.arange(bits)) & 1) - 1
    near = weight.reshape(len(weight), -1, 1) - (basis @ signs.double().T).unsqueeze(1)
    code = near.abs().argmin(2).reshape(weight.shape)
    code = torch.where(gamma.reshape(-1, *[1] * (weight.ndim - 1)) < 0, (1 << bits) - 1 - code, code)
    step = basis.abs().amax(1) / 127
    whole = integers(torch.round(basis / step.unsqueeze(1)))
    return Whole(integers(code), bits, step * gamma.abs(), whole, "its basis becomes 8 bits")


def membranes(model: Network, name: str, scale: Tensor) -> Membranes:
    """The neurons of a layer whose currents come in steps of ``scale``, per channel."""
    lif = model.get_submodule(name)
    assert isinstance(lif, LIF), "the table of layers builds it"
    d, state = lif.dynamics, lif.held()
    begin = origin(name, lif)
    threshold = (lif.fires_at.detach().double() - begin).expand(len(scale)) / scale
    fields: dict[str, Any] = {
        "name": name, "inputs": (INPUT,), "reset": d.reset, "timing": reset_timing(name, lif),
        "compare": d.compare, "compare_at": d.compare_at,
        "snapped": "after_reset" if lif.snapped == "after_reset" and state is not None else "before_fire",
    }  # fmt: skip
    found = _codebook(fields, threshold, scale, (retention(lif), begin), state) or _plain_state(fields, threshold, retention(lif), state)
    kept = current_retention(lif)
    return found if kept is None else _behind_a_synapse(found, float(threshold.max()) * 2.0**found.shift, kept, lif)


def _few_levels(state: State, begin: float, finest: float) -> Tensor | None:
    """The levels of a grid, measured from where membranes begin, that tables can hold in steps of ``finest``; None where they cannot."""
    if not isinstance(state.grid, Affine | Table) or state.grid.size > 256:
        return None
    values = levels(state.grid).detach().double() - begin
    return values if values.ndim == 1 and float(values.abs().max()) < LARGEST_TABLE * finest else None


def _behind_a_synapse(found: Membranes, threshold: float, kept: float, lif: LIF) -> Membranes:
    """The same neurons, charged by a current of its own; ``threshold`` in steps of the accumulator."""
    wanted = max(math.ceil(math.log2(THRESHOLDS * threshold)) + 1, CURRENT_BITS)
    bits = min(wanted, WIDEST_CURRENT)
    shift = min(LEAK_BITS, PRODUCT_BITS - bits)
    leak = Leak(kind="multiply_shift", multiplier=round(kept * 2**shift), shift=shift, rounding="half_up")
    words = [f"synaptic current becomes {bits} bits, which reach {2 ** (bits - 1) / threshold:.3g} thresholds"]
    words[0] += ", its grid is given up" if getattr(lif, "synapse_state", None) is not None else ""
    words += [f"leak of the current becomes {leak.multiplier} / 2^{shift}"] if kept != 1 else []
    synapse = Synapse(bits=bits, leak=leak if kept != 1 else Leak())
    return found._replace(op=found.op.model_copy(update={"synapse": synapse}), changed=(*found.changed, *words))


def _plain_state(fields: dict[str, Any], threshold: Tensor, kept: float, state: State | None) -> Membranes:
    least, most = float(threshold.min()), float(threshold.max())
    shift = min(math.floor(math.log2(0.5 * 2 ** (STATE_BITS - 1) / most)), 8)
    if shift < -16 or 0 < least * 2.0**shift <= 0.5:
        high, low = int(threshold.argmax()), int(threshold.argmin())
        found = f"channel {high} fires at {most:.3g} steps of its weights, channel {low} at {least:.3g}"
        raise SpecError(f"{fields['name']}: {found}; a state of {STATE_BITS} bits cannot hold both. Are the first one's weights all but 0?")
    bits = max(min(LEAK_BITS, STATE_BITS - 1 + min(shift, 0)), 1)  # its product with a shifted state stays within 32 bits
    leak = Leak(kind="multiply_shift", multiplier=round(kept * 2**bits), shift=bits, rounding="half_up")
    op = Lif(**fields, state_bits=STATE_BITS, shift=max(-shift, 0), leak=leak if kept != 1 else Leak())
    words = f"state becomes {STATE_BITS} bits" + (", its grid is given up" if state is not None else "")
    tensors = {f"{op.name}.threshold": integers(torch.round(threshold * 2.0**shift))}
    leaks = (f"leak becomes {leak.multiplier} / 2^{leak.shift}",) if kept != 1 else ()
    return Membranes(op, tensors, max(shift, 0), (words, *leaks))


def _codebook(fields: dict[str, Any], threshold: Tensor, scale: Tensor, real: tuple[float, float], state: State | None) -> Membranes | None:
    """A grid of few levels, as whole numbers in steps of each channel; None where it does not fit the tables, or its levels merge."""
    kept, begin = real
    values = None if state is None else _few_levels(state, begin, float(scale.min()))
    if state is None or values is None or float(threshold.max()) >= LARGEST_TABLE:
        return None
    shared = bool((scale == scale[0]).all())
    steps = values.unsqueeze(0) / (scale[:1] if shared else scale).unsqueeze(1)
    reach = max(float(steps.abs().max()), float(threshold.max()))
    # 16 bits hold the tables, unless levels would then lie closer than a few whole numbers.
    usual, most = (math.floor(math.log2(each / reach)) for each in (TABLE_REACH, LARGEST_LEVEL))
    wanted = math.ceil(math.log2(FINEST / float(steps.diff(dim=1).min())))
    shift = max(0, min(max(usual, min(wanted, most)), 16))
    rounded = {part: integers(torch.round(table * 2.0**shift)) for part, table in (("levels", steps), ("leaked", kept * steps))}
    if not (np.diff(rounded["levels"]) > 0).all():  # those of a membrane that never moved in calibration
        return None
    op = Lif(
        **fields, state_bits=max((len(values) - 1).bit_length(), 1), levels=len(values), leak=Leak(kind="table"),
        tables="layer" if shared else "channel",
    )  # fmt: skip
    changed = ["levels are rounded to whole numbers"]
    changed += ["a membrane is rounded after its reset too"] if op.reset == "subtract" and op.snapped == "before_fire" else []
    changed += [f"rounding {state.rounding} becomes nearest"] if state.rounding in ("truncate", "stochastic") else []
    changed += ["a membrane saturates instead of wrapping around"] if state.wrap else []
    tensors = {f"{op.name}.{part}": table for part, table in rounded.items()}
    return Membranes(op, tensors | {f"{op.name}.threshold": integers(torch.round(threshold * 2.0**shift))}, shift, tuple(changed))


def _synapses(
    layer: nn.Module, name: str, inputs: tuple[str, ...], whole: Whole, sums: tuple[Tensor, int]
) -> tuple[AnyOperation, dict[str, Integers]]:
    real, shift = sums
    bias = integers(torch.round(real / whole.scale * 2.0**shift))
    common: dict[str, Any] = {"name": name, "inputs": inputs}
    if isinstance(layer, nn.Conv2d):
        op: AnyOperation = convolution(layer, common, shift)
    else:
        assert isinstance(layer, nn.Linear), "the table of layers builds these"
        op = Dense(**common, bits=8, features=layer.out_features, shift=shift)
    return stored_as(op, Codes(whole.codes, whole.bits, bias, whole.basis))


def _other(model: Network, node: Node, inputs: tuple[str, ...], shapes: dict[str, tuple[int, ...]]) -> AnyOperation:
    common: dict[str, Any] = {"name": node.name, "inputs": inputs}
    if node.kind in MEANS:
        found = windows(node, shapes[node.inputs[0]], shapes[node.name])
        return SumPool(**common, size=found.size, stride=found.stride)
    return plain(node, model.get_submodule(node.name), common)


def _encode(model: Network, step: float) -> Encode:
    encode = next((module for module in model.modules() if isinstance(module, Encode)), None)
    if encode is None:
        raise SpecError(f"{model.wiring.name}: a program begins with an encode node; add one to the wiring")
    return Encode("direct", step=step) if encode.encoding == "direct" else encode


def integers(value: Tensor) -> Integers:
    """A tensor of whole numbers as an array."""
    return cast(Integers, value.cpu().numpy().astype(np.int64))
