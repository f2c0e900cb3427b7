"""A program in real numbers, as NIR's equations want them: one threshold for a layer, Euler steps, no rounding."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.bounds import weights
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.deploy.operations import Concat, Conv2d, Dense, Leak, Lif, OrPool, SumPool, Weighted
from spikequant.deploy.program import Program
from spikequant.errors import SpecError

Floats = NDArray[np.float32]
ENDLESS = 2.0**20
"""Steps of a time constant that stands for no leak: one layer kind less, which readers read in ways of their own."""


class Reader(NamedTuple):
    """How a library reads NIR: its time step in seconds, whether it heeds r of a LIF, the pool that it knows, how it compares, and
    whether it knows synaptic currents (CubaLIF).

    Source: ``import_nir`` of snnTorch 1.0 and Norse 1.1, ``nir_exchange.from_nir`` of SpikingJelly 2.0. All reset to a value.
    """

    dt: float
    heeds_r: bool
    pool: Literal["AvgPool2d", "SumPool2d"]
    compare: Literal[">=", ">"]
    currents: bool


READERS = {
    "norse": Reader(dt=1e-3, heeds_r=False, pool="SumPool2d", compare=">", currents=True),
    "snntorch": Reader(dt=1e-4, heeds_r=True, pool="AvgPool2d", compare=">", currents=True),
    "spikingjelly": Reader(dt=1e-4, heeds_r=True, pool="AvgPool2d", compare=">=", currents=False),
}


class Synapses(NamedTuple):
    """Weights and bias as floats."""

    weight: Floats
    bias: Floats


class Neurons(NamedTuple):
    """``v <- decay v + gain x``; spikes beyond ``threshold`` (for each channel, or one), then ``reset`` (the same). With ``current``,
    what is kept of it in one step, x is the current: ``i <- current i + x``.
    """

    decay: float
    gain: float
    threshold: Floats
    reset: Floats
    current: float | None = None


Parts = dict[str, Synapses | Neurons]


def viewed(program: Program, reader: Reader) -> Parts:
    """The floats of every layer that has any, by name; an or-pool becomes neurons after a pool.

    Raises:
        SpecError: NIR has nothing for an operation.
    """
    factors: dict[str, NDArray[np.float64] | float] = {"input": 1.0}
    found: Parts = {}
    for op in program.header.operations:
        _refuse_inexpressible(program, op, reader)
        taken = factors[op.inputs[0]]
        factors[op.name] = 1.0
        if isinstance(op, Dense | Conv2d):
            fires = _fed(program, op.name)
            unit = 1.0 if fires is None else 1.0 / _full(program, fires)
            charge = 1.0 if fires is None else gain(program, fires, reader)
            factors[op.name] = unit
            found[op.name] = _synapses(program, op, np.asarray(unit) / charge, float(taken))
        elif isinstance(op, Lif):
            found[op.name] = _neurons(program, op, taken, reader)
        elif isinstance(op, SumPool | OrPool):
            area = op.size[0] * op.size[1] if reader.pool == "AvgPool2d" else 1
            if isinstance(op, SumPool):
                factors[op.name] = float(taken) / area
            else:
                charge = 1.0 if reader.heeds_r else 0.5
                half = np.full(1, 0.5 * float(taken) / area * charge, np.float32)
                found[op.name] = Neurons(0.5, charge, half, np.zeros(1, np.float32))
        elif op.kind in ("add", "flatten"):
            factors[op.name] = taken
            if len({float(factors[name]) for name in op.inputs}) > 1:
                raise SpecError(f"{op.name}: it adds values of different scale; sum the pools of both sides or of none")
    return found


def decay(leak: Leak, program: Program, op: Lif) -> float:
    """What a membrane keeps of itself: of a codebook on average."""
    if leak.kind == "table":
        levels, leaked = (program.tensors[f"{op.name}.{part}"].astype(float).ravel() for part in ("levels", "leaked"))
        return float(np.clip((levels * leaked).sum() / max((levels * levels).sum(), 1), 0, 1 - 1 / ENDLESS))
    kept = {"multiply_shift": leak.multiplier / 2.0**leak.shift, "none": 1.0}.get(leak.kind, 1 - 2.0**-leak.shift)
    return min(kept, 1 - 1 / ENDLESS)


def gain(program: Program, op: Lif, reader: Reader) -> float:
    """What the reader multiplies the input of a layer with: 1 where it heeds r (behind a current all do), else ``dt / tau = 1 - decay``."""
    return 1.0 if reader.heeds_r or op.synapse is not None else 1 - decay(op.leak, program, op)


def _synapses(program: Program, op: Weighted, unit: NDArray[np.float64], taken: float) -> Synapses:
    whole = weights(op, program.tensors) << op.shift
    bias = program.tensors[f"{op.name}.bias"] if op.bias else np.zeros(len(whole), np.int64)
    rows = np.broadcast_to(unit, (len(whole),))
    scaled = whole * rows.reshape(-1, *(1,) * (whole.ndim - 1)) / taken
    return Synapses(scaled.astype(np.float32), (bias * rows).astype(np.float32))


def _neurons(program: Program, op: Lif, taken: NDArray[np.float64] | float, reader: Reader) -> Neurons:
    full = _full(program, op)
    unit = np.asarray(taken, dtype=np.float64)
    threshold = full * unit
    # Whole numbers meet a threshold exactly, floats do not; half a unit beside it every reader's comparison says the same.
    nudge = -0.5 if op.compare == ">=" else 0.5
    margin = nudge * float(np.min(threshold / full))
    charge = gain(program, op, reader)
    if not _feeding(program, op):
        threshold, margin, unit = threshold * charge, margin * charge, unit * charge
    reset = (op.reset_value << op.shift) * unit if op.reset == "value" else 0.0 * unit
    one = np.unique(np.round(threshold, 12))
    held = one if len(one) == 1 else np.broadcast_to(threshold, full.shape)
    current = None if op.synapse is None else decay(op.synapse.leak, program, op)
    beyond, to = (held + margin).astype(np.float32), np.atleast_1d(reset).astype(np.float32)
    return Neurons(decay(op.leak, program, op), charge, beyond, to, current)


def _full(program: Program, op: Lif) -> NDArray[np.float64]:
    return (program.tensors[f"{op.name}.threshold"] << op.shift).astype(np.float64)


def _fed(program: Program, name: str) -> Lif | None:
    """The layer of neurons that alone takes a value."""
    takers = [op for op in program.header.operations if name in op.inputs]
    return takers[0] if len(takers) == 1 and isinstance(takers[0], Lif) else None


def _feeding(program: Program, op: Lif) -> bool:
    """Whether synapses that feed nothing else feed a layer of neurons."""
    before = next((each for each in program.header.operations if each.name == op.inputs[0]), None)
    return isinstance(before, Dense | Conv2d) and _fed(program, before.name) is op


def _refuse_inexpressible(program: Program, op: object, reader: Reader) -> None:
    if isinstance(op, Concat):
        raise SpecError(f"{op.name}: NIR has no concatenation")
    if isinstance(op, OrPool) and program.reach(op.inputs[0]) != (0, 1):
        raise SpecError(f"{op.name}: NIR has no maximum; of spikes it can be said, of {program.reach(op.inputs[0])} not")
    if isinstance(op, Delay | Inhibit | Winner):
        raise SpecError(f"{op.name}: NIR has no {op.kind}; a node acts on its successors alone, in the same step. Use C or ONNX")
    if isinstance(op, Lif) and op.refractory is not None:
        raise SpecError(f"{op.name}: NIR's LIF has no refractory time; use C or ONNX")
    if isinstance(op, Lif) and op.synapse is not None and not reader.currents:
        raise SpecError(f"{op.name}: this reader knows no synaptic current (CubaLIF); take norse or snntorch, or C or ONNX")
    leaks = () if not isinstance(op, Lif) else (op.leak,) if op.synapse is None else (op.leak, op.synapse.leak)
    if isinstance(op, Lif) and (any(leak.kind == "constant" for leak in leaks) or op.emits != "spikes" or op.max_spikes > 1):
        raise SpecError(f"{op.name}: NIR's LIF has no constant leak, several spikes or membrane output")
