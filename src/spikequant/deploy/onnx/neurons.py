"""One step of a layer of neurons as nodes of int32: ``arithmetic.step``, operation by operation."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from spikequant.deploy.onnx.graph import Graph, doubled, halved
from spikequant.deploy.operations import Leak, Lif

Integers = NDArray[np.int64]


class Held(NamedTuple):
    """The constants of a layer, as names; ``middles`` is ``[1, channel or 1, 1..., level - 1]``, tables are flat."""

    threshold: str
    middles: str | None = None
    levels: str | None = None
    leaked: str | None = None
    offsets: str | None = None


class State(NamedTuple):
    """What a layer carries from step to step, as names: membrane, synaptic current, steps for which it is still refractory."""

    v: str
    current: str | None = None
    left: str | None = None


def held(g: Graph, op: Lif, shape: tuple[int, ...], tensors: dict[str, Integers]) -> Held:
    """Declare the constants of a layer whose value has this shape."""
    ones = (1,) * (len(shape) - 1)
    threshold = g.constant(tensors[f"{op.name}.threshold"].reshape(1, -1, *ones))
    if not op.levels:
        return Held(threshold)
    levels, leaked = (tensors[f"{op.name}.{part}"] for part in ("levels", "leaked"))
    middles = (levels[:, :-1] + levels[:, 1:]).reshape(1, len(levels), *ones, -1)
    offsets = g.constant(np.arange(shape[0]).reshape(1, -1, *ones) * op.levels) if len(levels) > 1 else None
    return Held(threshold, g.constant(middles), g.constant(levels.reshape(-1)), g.constant(leaked.reshape(-1)), offsets)


def rest(op: Lif, shape: tuple[int, ...], tensors: dict[str, Integers]) -> Integers:
    """The membrane before the first step, ``[1, channel, 1...]``; see ``arithmetic.rest``."""
    v = np.full(shape[0], op.reset_value if op.reset == "value" else 0)
    if op.levels:
        levels = np.broadcast_to(tensors[f"{op.name}.levels"], (shape[0], op.levels))
        v = (2 * v[:, None] > levels[:, :-1] + levels[:, 1:]).sum(1)
    return v.reshape(1, -1, *(1,) * (len(shape) - 1))


def step(g: Graph, op: Lif, acc: str, state: State, c: Held) -> tuple[str, State]:
    """Names of the spikes, and of the state after one step."""
    v, current, left = state
    if op.synapse is not None and current is not None:
        half = 1 << (op.synapse.bits - 1)
        acc = current = fitted(g, g("Add", leak(g, current, op.synapse.leak), acc), -half, half - 1, op.synapse.overflow)
    if left is not None:
        acc = g("Where", g("Greater", left, 0), 0, acc)
    z, v = _fired(g, op, acc, v, c)
    if left is not None and op.refractory is not None:
        left = g("Where", g("Greater", z, 0), op.refractory, g("Max", g("Sub", left, 1), 0))
    return z, State(v, current, left)


def _fired(g: Graph, op: Lif, acc: str, v: str, c: Held) -> tuple[str, str]:
    u = _charged(g, op, acc, v, c)
    full = doubled(g, c.threshold, op.shift)
    if op.snapped == "after_reset":
        z = _fires(g, op, u, full)
        return z, _stored(g, op, shifted(g, _reset(g, op, u, z, full, op.shift), op.shift, op.rounding), c)
    w = _number(g, _stored(g, op, shifted(g, u, op.shift, op.rounding), c), c)
    z = _fires(g, op, u, full) if op.compare_at == "full" else _fires(g, op, w, c.threshold)
    w = _reset(g, op, w, z, c.threshold, 0)
    return z, w if c.middles is None else _stored(g, op, w, c)


def value(g: Graph, op: Lif, z: str, v: str, c: Held) -> str:
    """What the layer emits."""
    return z if op.emits == "spikes" else _number(g, v, c)


def leak(g: Graph, v: str, how: Leak) -> str:
    """See ``arithmetic.leak``."""
    if how.kind == "shift":
        return g("Sub", v, halved(g, v, how.shift))
    if how.kind == "shift_min1":
        taken = halved(g, v, how.shift)
        return g("Sub", v, g("Where", g("Equal", taken, 0), g("Sign", v), taken))
    if how.kind == "constant":
        return g("Mul", g("Sign", v), g("Max", g("Sub", g("Abs", v), how.amount), 0))
    if how.kind != "multiply_shift":
        return v
    product = g("Mul", v, how.multiplier)
    return g("Div", product, 1 << how.shift) if how.rounding == "trunc" else shifted(g, product, how.shift, how.rounding)


def shifted(g: Graph, x: str, shift: int, rounding: str) -> str:
    """See ``arithmetic.shifted``."""
    if not shift or rounding == "floor":
        return halved(g, x, shift)
    half = 1 << (shift - 1)
    if rounding == "half_even":
        odd = g("Mod", halved(g, x, shift), 2)
        return halved(g, g("Add", x, g("Add", odd, half - 1)), shift)
    return halved(g, g("Add", x, half), shift)


def fitted(g: Graph, x: str, low: int, high: int, overflow: str) -> str:
    """See ``arithmetic.fitted``."""
    if overflow == "saturate":
        return g("Clip", x, low, high)
    span = high - low + 1  # the inner Mod keeps the difference within 32 bits
    return g("Add", g("Mod", g("Sub", g("Mod", x, span), low), span), low)


def _charged(g: Graph, op: Lif, acc: str, v: str, c: Held) -> str:
    late = None
    if op.timing == "next":
        number = _number(g, v, c)
        late = _fires(g, op, number, c.threshold)
        if op.reset == "value":
            v = _stored(g, op, g("Where", g("Greater", late, 0), op.reset_value, number), c)
    kept = leak(g, doubled(g, v, op.shift), op.leak) if c.leaked is None else _looked_up(g, c.leaked, v, c)
    u = g("Add", kept, acc)
    if late is None or op.reset != "subtract":
        return u
    return g("Sub", u, g("Mul", late, doubled(g, c.threshold, op.shift)))


def _fires(g: Graph, op: Lif, number: str, threshold: str) -> str:
    """A division that truncates is right here: below zero there is no spike, and the clip says so."""
    if op.max_spikes == 1:
        return g.cast(g("GreaterOrEqual" if op.compare == ">=" else "Greater", number, threshold), TensorProto.INT32)
    number = number if op.compare == ">=" else g("Sub", number, 1)
    return g("Clip", g("Div", number, threshold), 0, op.max_spikes)


def _reset(g: Graph, op: Lif, number: str, z: str, threshold: str, q: int) -> str:
    if op.timing == "next" or op.reset == "none":
        return number
    if op.reset == "subtract":
        return g("Sub", number, g("Mul", z, threshold))
    return g("Where", g("Greater", z, 0), op.reset_value << q, number)


def _stored(g: Graph, op: Lif, number: str, c: Held) -> str:
    if c.middles is None:
        return fitted(g, number, op.low, op.high, op.overflow)
    axis = g.constant([-1], np.int64)
    above = g("Greater", g("Unsqueeze", g("Mul", number, 2), axis), c.middles)
    return g("ReduceSum", g.cast(above, TensorProto.INT32), axis, keepdims=0)


def _number(g: Graph, v: str, c: Held) -> str:
    return v if c.levels is None else _looked_up(g, c.levels, v, c)


def _looked_up(g: Graph, table: str, index: str, c: Held) -> str:
    return g("Gather", table, index if c.offsets is None else g("Add", index, c.offsets))
