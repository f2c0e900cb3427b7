"""The ledger of a program: bytes that it stores, what it does and moves for one image, and what models say that this costs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from spikequant.behavior.operations import reached, reached_by_weight
from spikequant.deploy.arithmetic import rest
from spikequant.deploy.bounds import weights
from spikequant.deploy.container import to_bytes
from spikequant.deploy.machine import constants, encode, moments
from spikequant.deploy.operations import Conv2d, Dense, Lif, Weighted
from spikequant.deploy.packing import packed_bytes
from spikequant.deploy.program import Program
from spikequant.recipes.traffic import Traffic

TABLES = ("basis", "levels", "leaked", "table", "draws")


class Storage(NamedTuple):
    """Bytes of a program's file, by what they are, and of the memory that runs it: ``state``, packed."""

    weight: int = 0
    bias: int = 0
    threshold: int = 0
    table: int = 0
    header: int = 0
    state: int = 0

    @property
    def file(self) -> int:
        """All that the file holds."""
        return sum(self[:-1])


class Work(NamedTuple):
    """What a layer of synapses does for one image, over all steps; NeuroBench's ``dense`` and effective ACs or MACs.

    ``effective``: input and weight are not zero. ``unit``: all its inputs are -1, 0 or 1, so that a synapse only adds; else NeuroBench
    counts multiplications. ``additions``: the sum of the inputs' magnitudes instead, what one addition for each spike would take.
    """

    dense: float
    effective: float
    additions: float
    unit: bool
    touched: float
    """Neurons that some input reaches, summed over the steps."""


class Energy(NamedTuple):
    """Picojoules for one image by three conventions: model estimates for 45 nm, not measurements.

    ``convention_fp32``: 0.9 for an AC, 4.6 for a MAC, as papers count. ``integer_aware``: additions of the accumulator's width, and
    8-bit multiplications. ``with_memory``: the same, and every weight and state that an event touches, from a memory of the program's size.

    Source: M. Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9; memory per 64 bits.
    """

    convention_fp32: float
    integer_aware: float
    with_memory: float


class Ledger(NamedTuple):
    """Storage; work by layer; bits moved for one image if every neuron is updated at every step (``dense``), or only where something
    happens (``events``): a weight for each effective operation, a state read where an input reaches it and written where it changed.
    """

    storage: Storage
    work: dict[str, Work]
    dense: Traffic
    events: Traffic
    sparsity: float
    """The share of zeros in what all layers of neurons emit, as NeuroBench's activation sparsity."""
    energy: Energy


AC, MAC = 0.9, 4.6
ADD = {8: 0.03, 16: 0.05, 32: 0.1}
MULTIPLY = 0.2
MEMORY = ((8 * 1024, 10.0), (32 * 1024, 20.0), (1024 * 1024, 100.0))
DRAM = 1300.0


def ledger(program: Program, images: Any) -> Ledger:
    """The ledger, with activity measured on images as ``program.run`` takes them.

    Raises:
        MismatchError: the images do not fit the program.
    """
    space = storage(program)
    work, changed, sparsity = _measured(program, images)
    states = _state_bits(program)
    used = {name: each.effective for name, each in work.items()}
    widths = {op.name: op.bits for op in program.header.operations if isinstance(op, Dense | Conv2d)}
    time = program.header.time
    every = {name: float(count * time) for name, (count, _) in states.items()}
    read = {name: work[source].touched if (source := _feeder(program, name)) in work else every[name] for name in states}
    dense = Traffic(sum(each.dense * widths[name] for name, each in work.items()), _bits(states, every) + _bits(states, every))
    events = Traffic(sum(used[name] * widths[name] for name in used), _bits(states, read) + _bits(states, changed))
    return Ledger(space, work, dense, events, sparsity, _energy(program, work, events, space))


def storage(program: Program) -> Storage:
    """Bytes of the file that ``save`` writes, and of the states."""
    content, parts = to_bytes(program), dict.fromkeys(Storage._fields, 0)
    for name, slot in program.slots.items():
        part = name.rpartition(".")[2]
        count = program.tensors[name].size
        kind = "table" if part in TABLES else part
        parts[kind] += packed_bytes(count, slot.bits) if slot.bits is not None else count * _narrowest(program.tensors[name])
    parts["header"] = int.from_bytes(content[:8], "little") + 8
    parts["state"] = sum(packed_bytes(count, bits) for count, bits in _state_bits(program).values())
    return Storage(**parts)


def _narrowest(value: np.ndarray) -> int:
    return next(size for size in (1, 2, 4) if -(1 << (8 * size - 1)) <= value.min() and value.max() < 1 << (8 * size - 1))


def _state_bits(program: Program) -> dict[str, tuple[int, int]]:
    """For each layer of neurons their number, and bits of membrane, synaptic current and refractory time."""
    neurons = [op for op in program.header.operations if isinstance(op, Lif)]
    extra = {op.name: (op.synapse.bits if op.synapse else 0) + (op.refractory or 0).bit_length() for op in neurons}
    return {op.name: (int(np.prod(program.shapes[op.name])), op.state_bits + extra[op.name]) for op in neurons}


def _bits(states: dict[str, tuple[int, int]], moved: dict[str, float]) -> float:
    return sum(moved[name] * bits for name, (_, bits) in states.items())


def _feeder(program: Program, name: str) -> str:
    return next(op.inputs[0] for op in program.header.operations if op.name == name)


def _layer(program: Program, op: Weighted) -> nn.Conv2d | nn.Linear:
    """The layer as torch has it, with its whole numbers."""
    w = torch.tensor(weights(op, program.tensors), dtype=torch.float64)
    made: nn.Conv2d | nn.Linear
    if isinstance(op, Conv2d):
        window: dict[str, Any] = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
        made = nn.Conv2d(w.shape[1] * op.groups, w.shape[0], op.kernel, bias=False, **window)
    else:
        made = nn.Linear(w.shape[1], w.shape[0], bias=False)
    made.weight = nn.Parameter(w, requires_grad=False)
    return made


def _measured(program: Program, images: Any) -> tuple[dict[str, Work], dict[str, float], float]:
    """Work of every layer of synapses, states that changed in every layer of neurons, and the sparsity of what they emit."""
    codes = encode(program, images)
    count = codes.shape[0 if program.header.source.still else 1]
    layers = {op.name: (op.inputs[0], _layer(program, op)) for op in program.header.operations if isinstance(op, Dense | Conv2d)}
    sums = {name: np.zeros(4) for name in layers}
    unit = dict.fromkeys(layers, True)
    neurons = [op for op in program.header.operations if isinstance(op, Lif)]
    rests = {op.name: rest(op, np.zeros((1, *program.shapes[op.name]), np.int64), constants(program, op)).v for op in neurons}
    before: dict[str, np.ndarray] = {}
    changed: dict[str, float] = dict.fromkeys(_state_bits(program), 0.0)
    zeros = emitted = 0
    for moment in moments(program, codes):
        for name, (source, layer) in layers.items():
            x = torch.from_numpy(np.asarray(moment.values[source])).double()
            unit[name] &= bool((x.abs() <= 1).all())
            sums[name] += _counted(layer, x)
        for name, membrane in moment.membranes.items():
            changed[name] += float((membrane.v != before.get(name, rests[name])).sum())
            before[name] = membrane.v
            zeros, emitted = zeros + int((moment.values[name] == 0).sum()), emitted + moment.values[name].size
    work = {
        name: Work(float(dense / count), float(effective / count), float(additions / count), unit[name], float(touched / count))
        for name, (dense, effective, additions, touched) in sums.items()
    }
    return work, {name: each / count for name, each in changed.items()}, zeros / emitted if emitted else 0.0


def _counted(layer: nn.Conv2d | nn.Linear, x: Tensor) -> np.ndarray:
    active = (x != 0).double()
    by_output = reached_by_weight(layer, active)
    additions = float(reached_by_weight(layer, x.abs()).sum())
    return np.array([reached(layer, torch.ones_like(x)), float(by_output.sum()), additions, float((by_output > 0).sum())])


def _energy(program: Program, work: dict[str, Work], moved: Traffic, space: Storage) -> Energy:
    def total(cost: Callable[[str, Work], float]) -> float:
        return sum(each.effective * cost(name, each) for name, each in work.items())

    papers = total(lambda _, each: AC if each.unit else MAC)
    whole = total(lambda name, each: ADD[program.proofs[name].accumulator_bits] + (0.0 if each.unit else MULTIPLY))
    access = next((cost for size, cost in MEMORY if space.file + space.state <= size), DRAM)
    return Energy(papers, whole, whole + moved.total_bits / 64 * access)
