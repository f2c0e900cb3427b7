"""What every value and accumulator can reach at most: proven from the weights, before anything runs."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.base import Operation
from spikequant.deploy.lateral import DRAW_BITS, Delay, Inhibit, Winner
from spikequant.deploy.operations import Add, Concat, Conv2d, Dense, Lif, Pool, SumPool, Weighted
from spikequant.errors import SpecError

Integers = NDArray[np.int64]
Tensors = Mapping[str, Integers]
FLOAT32, INT32 = 2**24, 2**31


class Range(NamedTuple):
    """Lowest and highest whole number that a value takes."""

    low: int
    high: int

    @property
    def largest(self) -> int:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def bits(self) -> int:
        """The width of the narrowest of 8, 16 and 32 bits that holds it, signed; 64 where none does.

        >>> Range(0, 127).bits, Range(-129, 0).bits
        (8, 16)
        """
        return next((bits for bits in (8, 16, 32) if -(2 ** (bits - 1)) <= self.low and self.high < 2 ** (bits - 1)), 64)


class Proof(NamedTuple):
    """For one operation: what its value takes, what any sum on the way to it can reach, and the width that this needs."""

    value: Range
    widest: Range

    @property
    def accumulator_bits(self) -> int:
        """8, 16 or 32."""
        return self.widest.bits


def weights(op: Weighted, tensors: Tensors) -> Integers:
    """The integers that a layer multiplies with, in the shape of its codes.

    Equation: ``w`` itself, or ``sum over k of basis_k (2 bit_k - 1)``.
    """
    stored = tensors[f"{op.name}.weight"]
    if op.coding == "integer":
        return stored
    basis = tensors[f"{op.name}.basis"]
    bits = (stored[..., None] >> np.arange(op.bits)) & 1
    return np.asarray((basis.reshape(len(basis), *[1] * (stored.ndim - 1), op.bits) * (2 * bits - 1)).sum(-1), dtype=np.int64)


def prove(op: Operation, inputs: list[Range], tensors: Tensors, neurons: int = 1) -> Proof:
    """The proof for one operation whose inputs are proven; ``neurons``: elements of its value.

    Raises:
        SpecError: a sum can leave 32 bits.
    """
    proof = _lateral(op, inputs, neurons) if isinstance(op, Delay | Inhibit | Winner) else _prove(op, inputs, tensors)
    if proof.widest.bits > 32:
        reach = proof.widest.largest
        raise SpecError(f"{op.name}: a sum can reach {reach}, beyond 32 bits; use fewer weight bits, a smaller shift or a narrower state")
    return proof


def _prove(op: Operation, inputs: list[Range], tensors: Tensors) -> Proof:
    first = inputs[0]
    if isinstance(op, Dense | Conv2d):
        return _weighted(op, first, tensors)
    if isinstance(op, Lif):
        return _lif(op, first, tensors)
    if isinstance(op, Add):
        total = Range(sum(each.low for each in inputs), sum(each.high for each in inputs))
        return Proof(total, total)
    if isinstance(op, Concat):
        joined = Range(min(each.low for each in inputs), max(each.high for each in inputs))
        return Proof(joined, joined)
    if isinstance(op, SumPool):
        area = op.size[0] * op.size[1]
        summed = Range(area * min(first.low, 0), area * max(first.high, 0))
        return Proof(summed, summed)
    assert isinstance(op, Pool) or op.kind == "flatten", f"{op.kind} has no proof"  # type: ignore[attr-defined]
    return Proof(first, first)


def _lateral(op: Delay | Inhibit | Winner, inputs: list[Range], neurons: int) -> Proof:
    if isinstance(op, Delay):
        declared = Range(0, op.high)
        return Proof(declared, declared)
    low, high = min(inputs[0].low, 0), max(inputs[0].high, 0)
    if isinstance(op, Winner):
        return Proof(Range(0, high), Range(low, max(high, neurons * (2**DRAW_BITS - 1))))
    others = neurons - 1
    summed = Range(-op.strength * others * high, -op.strength * others * low)
    # The sum of all is taken first, and one subtracted from it.
    return Proof(summed, Range(min(summed.low, (neurons + 1) * low), max(summed.high, (neurons + 1) * high)))


def _weighted(op: Weighted, x: Range, tensors: Tensors) -> Proof:
    rows = weights(op, tensors).reshape(tensors[f"{op.name}.weight"].shape[0], -1) << op.shift
    low, high = min(x.low, 0), max(x.high, 0)  # zero: a tap may lie in the padding, or not be summed yet
    above, below = np.maximum(rows, 0).sum(1), np.minimum(rows, 0).sum(1)
    bias = tensors[f"{op.name}.bias"] if op.bias else np.zeros(len(rows), np.int64)
    most, least = above * high + below * low, above * low + below * high
    value = Range(int((least + bias).min()), int((most + bias).max()))
    partial = Range(int((least + np.minimum(bias, 0)).min()), int((most + np.maximum(bias, 0)).max()))
    return Proof(value, partial)


def _lif(op: Lif, acc: Range, tensors: Tensors) -> Proof:
    threshold = int(tensors[f"{op.name}.threshold"].max())
    if op.synapse is not None:
        half = 1 << (op.synapse.bits - 1)
        synaptic = _kept(Range(-half, half - 1), op.synapse.leak)
        summed = Range(synaptic.low + min(acc.low, 0), synaptic.high + max(acc.high, 0))
        acc = Range(-half, half - 1)
    else:
        summed = Range(0, 0)
    if op.levels:
        held, kept = (
            Range(int(table.min()), int(table.max())) for table in (tensors[f"{op.name}.{name}"] for name in ("levels", "leaked"))
        )
    else:
        held = Range(op.low, op.high)
        kept = _kept(Range(op.low << op.shift, op.high << op.shift), op.leak)
    late = threshold << op.shift if op.reset == "subtract" and (op.timing == "next" or op.snapped == "after_reset") else 0
    # The nearest level compares twice a sum with a sum of two levels.
    twice, half = (2 if op.levels else 1), (1 << op.shift) >> 1
    u = Range(twice * (kept.low + min(acc.low, 0) - late), twice * (kept.high + max(acc.high, 0)) + half)
    reached = [kept, u, summed, acc, held, Range(-2 * held.largest, 2 * held.largest), Range(0, threshold << op.shift)]
    widest = Range(min(each.low for each in reached), max(each.high for each in reached))
    emitted = held if op.emits == "membrane" else Range(0, op.max_spikes)
    return Proof(emitted, widest)


def _kept(v: Range, leak: object) -> Range:
    """What a leak reaches, its product with the multiplier among it."""
    multiplier = getattr(leak, "multiplier", 1) if getattr(leak, "kind", "") == "multiply_shift" else 1
    half = (1 << getattr(leak, "shift", 0)) >> 1
    return Range(v.low * multiplier, v.high * multiplier + half)
