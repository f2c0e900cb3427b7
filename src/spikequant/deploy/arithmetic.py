"""The arithmetic of one integer neuron step, in NumPy int64: the meaning of every field of ``Lif``."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.operations import Leak, Lif

Integers = NDArray[np.int64]


class Constants(NamedTuple):
    """What a layer stores, shaped to broadcast over ``[batch, channel, *space]``; the tables are ``[channel or 1, level]``."""

    threshold: Integers
    levels: Integers | None = None
    leaked: Integers | None = None


class Membrane(NamedTuple):
    """What a layer remembers: the membrane (an index where there is a codebook), the synaptic current, and the steps for which it is
    still refractory.
    """

    v: Integers
    current: Integers | None = None
    left: Integers | None = None


def leak(v: Integers, how: Leak) -> Integers:
    """What remains of v after one step; see ``Leak``.

    >>> leak(np.array([-5, 5]), Leak(kind="multiply_shift", multiplier=3, shift=2)).tolist()
    [-3, 3]
    """
    if how.kind == "shift":
        return v - (v >> how.shift)
    if how.kind == "shift_min1":
        taken = v >> how.shift
        return v - np.where(taken == 0, np.sign(v), taken)
    if how.kind == "constant":
        return np.asarray(np.sign(v) * np.maximum(np.abs(v) - how.amount, 0))
    if how.kind != "multiply_shift":
        return v
    product = v * how.multiplier
    if how.rounding == "trunc":
        return np.asarray(np.sign(product) * (np.abs(product) >> how.shift))
    return shifted(product, how.shift, how.rounding)


def shifted(x: Integers, shift: int, rounding: str) -> Integers:
    """``x / 2^shift``, rounded: ``floor``, ``half_up`` = floor(y + 1/2), or ``half_even``.

    >>> [shifted(np.array([-6, -2, 2, 6]), 2, rounding).tolist() for rounding in ("floor", "half_up", "half_even")]
    [[-2, -1, 0, 1], [-1, 0, 1, 2], [-2, 0, 0, 2]]
    """
    if not shift or rounding == "floor":
        return x >> shift
    half = 1 << (shift - 1)
    if rounding == "half_even":
        return (x + half - 1 + ((x >> shift) & 1)) >> shift
    return (x + half) >> shift


def fitted(x: Integers, low: int, high: int, overflow: str) -> Integers:
    """``x`` in ``low..high``: at the rail, or around it.

    >>> fitted(np.array([130, -129]), -128, 127, "saturate").tolist(), fitted(np.array([130, -129]), -128, 127, "wrap").tolist()
    ([127, -128], [-126, 127])
    """
    return np.clip(x, low, high) if overflow == "saturate" else (x - low) % (high - low + 1) + low


def nearest(u: Integers, levels: Integers) -> Integers:
    """The index of the nearest level, the lower of two; ``levels`` is ``[channel or 1, level]``, u ``[batch, channel, *space]``.

    Equation: the number of j with ``2 u > levels_j + levels_{j+1}``.

    >>> nearest(np.array([[1, 2, 9]]), np.array([[0, 3, 6]])).tolist()
    [[0, 1, 2]]
    """
    middles = _over(levels[:, :-1] + levels[:, 1:], u)
    return np.asarray((2 * u[..., None] > middles).sum(-1), dtype=np.int64)


def looked_up(table: Integers, index: Integers) -> Integers:
    """``table[channel, index]`` for an index ``[batch, channel, *space]``."""
    channels = np.arange(index.shape[1]) if table.shape[0] > 1 else np.zeros(index.shape[1], np.int64)
    return np.asarray(table[channels.reshape(1, -1, *[1] * (index.ndim - 2)), index])


def rest(op: Lif, like: Integers, constants: Constants) -> Membrane:
    """The membrane before the first step: where a reset to a value puts it, else 0."""
    v = np.full_like(like, op.reset_value if op.reset == "value" else 0)
    if constants.levels is not None:
        v = nearest(v, constants.levels)
    return Membrane(v, None if op.synapse is None else np.zeros_like(like), None if op.refractory is None else np.zeros_like(like))


def step(op: Lif, acc: Integers, membrane: Membrane, constants: Constants) -> tuple[Integers, Membrane]:
    """Spikes and the membrane after one step; see ``Lif``."""
    u, current = charged(op, acc, membrane, constants)
    z = _fires(op, *compared(op, u, constants))
    left = None if membrane.left is None else np.where(z > 0, op.refractory or 0, np.maximum(membrane.left - 1, 0))
    if op.snapped == "after_reset":
        u = _reset(op, u, z, constants.threshold, op.shift)
        return z, Membrane(_stored(op, shifted(u, op.shift, op.rounding), constants), current, left)
    w = _reset(op, _held(op, u, constants), z, constants.threshold, 0)
    return z, Membrane(w if constants.levels is None else nearest(w, constants.levels), current, left)


def charged(op: Lif, acc: Integers, membrane: Membrane, constants: Constants) -> tuple[Integers, Integers | None]:
    """u, the membrane with its current before it is rounded; and the synaptic current."""
    v, current, left = membrane
    if op.synapse is not None and current is not None:
        half = 1 << (op.synapse.bits - 1)
        acc = current = fitted(leak(current, op.synapse.leak) + acc, -half, half - 1, op.synapse.overflow)
    if left is not None:
        acc = np.where(left > 0, 0, acc)
    late = np.zeros_like(acc)
    if op.timing == "next":
        held = looked_up(constants.levels, v) if constants.levels is not None else v
        late = _fires(op, held, constants.threshold)
        if op.reset == "value":
            v = _stored(op, np.where(late > 0, op.reset_value, held), constants)
    kept = leak(v << op.shift, op.leak) if constants.leaked is None else looked_up(constants.leaked, v)
    return kept + acc - (late * (constants.threshold << op.shift) if op.reset == "subtract" else 0), current


def compared(op: Lif, u: Integers, constants: Constants) -> tuple[Integers, Integers]:
    """The two numbers whose order decides whether a neuron fires: its membrane and its threshold."""
    if op.snapped == "after_reset" or op.compare_at == "full":
        return u, constants.threshold << op.shift
    return _held(op, u, constants), constants.threshold


def _held(op: Lif, u: Integers, constants: Constants) -> Integers:
    """The membrane that the state holds of u, as a number."""
    stored = _stored(op, shifted(u, op.shift, op.rounding), constants)
    return looked_up(constants.levels, stored) if constants.levels is not None else stored


def _fires(op: Lif, value: Integers, threshold: Integers) -> Integers:
    fits = value // threshold if op.compare == ">=" else -(-value // threshold) - 1
    return np.asarray(np.clip(fits, 0, op.max_spikes))


def _reset(op: Lif, value: Integers, z: Integers, threshold: Integers, q: int) -> Integers:
    if op.timing == "next" or op.reset == "none":
        return value
    return value - z * (threshold << q) if op.reset == "subtract" else np.where(z > 0, op.reset_value << q, value)


def _stored(op: Lif, value: Integers, constants: Constants) -> Integers:
    return fitted(value, op.low, op.high, op.overflow) if constants.levels is None else nearest(value, constants.levels)


def _over(rows: Integers, like: Integers) -> Integers:
    """``[channel or 1, level]`` to broadcast over ``[batch, channel, *space, level]``."""
    return rows.reshape(1, rows.shape[0], *[1] * (like.ndim - 2), rows.shape[1])
