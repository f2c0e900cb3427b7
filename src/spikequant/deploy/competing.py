"""The nearest program of a network whose neurons compete: Q-SpiNN's unsupervised network, as it stands once it has learned."""

import math
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spikequant.deploy.lateral import DRAW_BITS, Delay, Inhibit, Winner
from spikequant.deploy.nearest import BITS, Whole, integers, on_grid
from spikequant.deploy.operations import Add, AnyOperation, Dense, Flatten, Leak, Lif
from spikequant.deploy.program import INPUT, Header, Program
from spikequant.deploy.transcribing import Pixels, seen
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.layers import Encode, Vote
from spikequant.neurons import Competing
from spikequant.numerics import Affine, uniform
from spikequant.numerics.stdp import WINNER
from spikequant.quantizers import Quantizer

Integers = NDArray[np.int64]
KINDS = ["encode", "flatten", "linear", "competing", "vote"]
STATE_BITS, REACH = 16, 4
LARGEST_VOTE = 2**15 - 1
ROUNDINGS = {"half_up": "half_up", "truncate": "floor", "nearest_even": "half_even"}


class Scale(NamedTuple):
    """Millivolts of a whole 1 of weights, and of membranes: one is the other times a power of two."""

    weight: float
    state: float

    @property
    def finest(self) -> float:
        """That of the accumulator."""
        return min(self)

    def coarser(self, unit: float) -> int:
        """Bits by which a unit is coarser than the accumulator's."""
        return round(math.log2(unit / self.finest))


class Part(NamedTuple):
    """Operations, their tensors, and what was lost, in words."""

    operations: list[AnyOperation]
    tensors: dict[str, Integers]
    changed: list[str]


def competed(model: Network, pixels: Pixels | None = None) -> tuple[Program, list[str]]:
    """The nearest program, and what differs from the network, in words.

    Membranes are counted from their rest. Weights and membranes on fixed-point grids keep them; others take ``BITS`` and ``STATE_BITS``
    bits. The winner of each step is that which the network's forward draws, in ``DRAW_BITS`` bits.

    Raises:
        SpecError: another wiring, pixels, conductances, neurons without a class, or a threshold below 1.
    """
    kinds = [node.kind for node in model.wiring.nodes]
    if kinds != KINDS:
        raise SpecError(f"{model.wiring.name}: neurons that compete become a program after {', '.join(KINDS)}; got {', '.join(kinds)}")
    encode, _, synapses, cells, vote = (model.get_submodule(node.name) for node in model.wiring.nodes)
    assert isinstance(encode, Encode), "the table of layers builds it"
    assert isinstance(cells, Competing), "the table of layers builds it"
    flatten, weights, layer, votes = [node.name for node in model.wiring.nodes][1:]
    whole = _weights(cast(nn.Linear, synapses))
    scale = Scale(float(whole.scale[0]), _state_unit(cells, float(whole.scale[0])))
    parts = [
        Part([Flatten(name=flatten, inputs=(INPUT,))], {}, []),
        _synapses(whole, scale, weights, flatten),
        _neurons(cells, scale, (weights, layer), model.wiring.time),
        _vote(cast(Vote, vote), votes, layer),
    ]
    source, _ = seen(encode, model.wiring.input_shape, pixels, (0, 1))
    if encode.encoding == "rate" and encode.seed == 0:
        source = source.model_copy(update={"rate": encode.scale})
    operations = tuple(op for part in parts for op in part.operations)
    header = Header(name=model.wiring.name, time=model.wiring.time, source=source, operations=operations)
    tensors = {name: value for part in parts for name, value in part.tensors.items()}
    return Program(header, tensors), [words for part in parts for words in part.changed]


def _synapses(whole: Whole, scale: Scale, name: str, source: str) -> Part:
    op = Dense(
        name=name, inputs=(source,), bits=whole.bits, coding="integer" if whole.basis is None else "planes", features=len(whole.codes),
        bias=False, shift=scale.coarser(scale.weight),
    )  # fmt: skip
    tensors = {f"{name}.weight": whole.codes} | ({} if whole.basis is None else {f"{name}.basis": whole.basis})
    return Part([op], tensors, [f"{name}: {whole.changed}"] if whole.changed else [])


def _weights(layer: nn.Linear) -> Whole:
    """The codes of weights on their grid, where all neurons share its step; else the nearest of ``BITS`` bits, a power of two apart."""
    held = getattr(getattr(layer, "parametrizations", None), "weight", [None])[0]
    weight = layer.weight.detach().double()
    found = on_grid(held, weight, torch.ones(len(weight), dtype=torch.float64)) if isinstance(held, Quantizer) else None
    if found is not None and bool((found.scale == found.scale[0]).all()):
        return found._replace(scale=found.scale.expand(len(weight)))
    largest = float(weight.abs().max())
    if not largest > 0:
        raise SpecError("the synapses of neurons that compete have no weight but 0; train the network first")
    step = 2.0 ** math.ceil(math.log2(largest / (2 ** (BITS - 1) - 1)))
    codes = torch.round(weight / step)
    return Whole(integers(codes), BITS, torch.full((len(weight),), step), changed=f"weights become {BITS} bits, in steps of {step}")


def _state_unit(cells: Competing, weight: float) -> float:
    """The step of the membrane's grid, where a power of two lies between it and that of the weights; else one that ``STATE_BITS`` reach."""
    state = cells.held()
    if state is not None and isinstance(state.grid, Affine) and state.grid.step.numel() == 1:
        step = float(state.grid.step)
        if math.log2(step / weight).is_integer() and (cells.settings.rest / step).is_integer() and abs(math.log2(step / weight)) <= 16:
            return step
    return float(weight * 2.0 ** math.ceil(math.log2(_reach(cells) / weight / 2 ** (STATE_BITS - 1))))


def _reach(cells: Competing) -> float:
    """How far from rest membranes go, in mV: some inhibitions down, or up to the highest threshold."""
    return max(REACH * cells.settings.inhibition, REACH * float((cells.bound() - cells.settings.rest).max()))


def _neurons(cells: Competing, scale: Scale, names: tuple[str, str], time: int) -> Part:
    """The layer, after its synapses: what was fired before pulls down, what now fires is drawn from."""
    (weights, name), c, state = names, cells.settings, cells.held()
    if c.conductance is not None:
        raise SpecError(f"{name}: synapses that open (reading='conductance') have no integer form; use reading='current'")
    rounding: Any = "half_up" if state is None else ROUNDINGS.get(state.rounding, "half_up")
    bits = min(math.ceil(math.log2(_reach(cells) / scale.state)) + 1, 24)
    shift = scale.coarser(scale.state)
    kept = max(min(31 - bits - shift, 16), 1)  # the product with the leak stays within 32 bits
    leak = Leak(
        kind="multiply_shift", multiplier=round(c.decay * 2**kept), shift=kept, rounding="floor" if rounding == "floor" else "half_up"
    )
    threshold = integers(torch.ceil((cells.bound().double() - c.rest) / scale.state - 1e-9))
    strength = max(round(c.inhibition / scale.finest), 1)
    delayed, pull, charge = (f"{name}_{part}" for part in ("before", "pull", "charge"))
    fired = f"{name}_cells" if c.single else name
    operations: list[AnyOperation] = [
        Delay(name=delayed, inputs=(name,), shape=(cells.neurons,)),
        Inhibit(name=pull, inputs=(delayed,), strength=strength),
        Add(name=charge, inputs=(weights, pull)),
        Lif(
            name=fired, inputs=(charge,), state_bits=bits, shift=shift, rounding=rounding, leak=leak, reset="value",
            reset_value=round((c.reset - c.rest) / scale.state), refractory=c.refractory or None,
        ),
    ]  # fmt: skip
    tensors = {f"{fired}.threshold": threshold}
    changed = [f"leak becomes {leak.multiplier} / 2^{leak.shift}"]
    changed += [f"membranes take {bits} bits in steps of {scale.state} mV, and saturate there"]
    changed += [f"rounding {state.rounding} becomes nearest"] if state is not None and state.rounding not in ROUNDINGS else []
    if c.single:
        operations.append(Winner(name=name, inputs=(fired,), draws=time))
        tensors[f"{name}.draws"] = _draws(time)
        changed.append(f"the winner's draw takes {DRAW_BITS} bits")
    return Part(operations, tensors, [f"{name}: {words}" for words in changed])


def _draws(time: int) -> Integers:
    """Those of ``numerics.compete``, which is the network's forward."""
    found = [float(uniform(0, WINNER, step, torch.tensor(0))) for step in range(time)]
    return np.array([math.floor(each * 2**DRAW_BITS) for each in found])


def _vote(vote: Vote, name: str, source: str) -> Part:
    """Each class as the spikes of its neurons over their number: weights of 0 or ``2 basis``, the sum or difference of two planes."""
    labels = vote.labels.cpu()
    if (labels < 0).all():
        raise SpecError(f"{name}: no neuron has a class yet; call spikequant.training.assign with training images first")
    counts = labels[labels >= 0].bincount(minlength=vote.classes).tolist()
    total = _common(counts)
    basis = np.array([[round(total / count)] * 2 if count else [0, 0] for count in counts])
    codes = np.where(labels.numpy() == np.arange(vote.classes)[:, None], 3, 1)
    op = Dense(name=name, inputs=(source,), bits=2, coding="planes", features=vote.classes, bias=False)
    lost = [] if all(total % count == 0 for count in counts if count) else [f"{name}: votes are rounded to 15 bits"]
    return Part([op], {f"{name}.weight": codes, f"{name}.basis": basis}, lost)


def _common(counts: list[int]) -> int:
    """What a class's spikes are multiplied with, over its number of neurons: a common multiple if one fits, else the largest number."""
    few = [count for count in counts if count]
    common, most = math.lcm(*few), LARGEST_VOTE * min(few)
    return common if common <= most else most
