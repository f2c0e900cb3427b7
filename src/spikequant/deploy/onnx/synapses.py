"""Operations without memory as nodes: integer matrix products and convolutions, pools, sums."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from spikequant.deploy.bounds import Range, weights
from spikequant.deploy.lateral import Inhibit
from spikequant.deploy.onnx.graph import INT4_HIGH, INT4_LOW, Graph, doubled
from spikequant.deploy.operations import Conv2d, OrPool, SumPool, Weighted
from spikequant.deploy.program import Program

Integers = NDArray[np.int64]
PAIR = 2**15 - 1
"""Kernels of processors without VNNI add two products in 16 bits, and saturate there."""


class Digit(NamedTuple):
    """One byte of an input: x = sum over its digits of ``(digit - zero) 2^shift``."""

    name: str
    zero: int
    shift: int


def declared(g: Graph, op: Weighted, program: Program) -> list[tuple[str, Integers | None, int]]:
    """The weights of a layer: their names, what a channel multiplies the sum with, and their greatest magnitude.

    Whole numbers of up to 8 bits are one tensor; wider ones, of planes, one tensor of -1 and 1 for each plane.
    """
    folded = weights(op, program.tensors)
    if folded.min() >= -128 and folded.max() <= 127:
        return [(_constant(g, op, folded), None, int(np.abs(folded).max()))]
    codes, basis = program.tensors[f"{op.name}.weight"], program.tensors[f"{op.name}.basis"]
    return [(_constant(g, op, 2 * ((codes >> k) & 1) - 1), basis[:, k], 1) for k in range(op.bits)]


def synapses(g: Graph, op: Weighted, x: str, reach: Range, program: Program) -> str:
    """The accumulator of a dense layer or a convolution."""
    terms = []
    shape = (1, -1, *(1,) * (len(program.shapes[op.name]) - 1))
    for name, factor, largest in declared(g, op, program):
        for digit in digits(g, x, reach, largest):
            term = doubled(g, _product(g, op, digit, name), digit.shift)
            terms.append(term if factor is None else g("Mul", term, g.constant(factor.reshape(shape))))
    acc = doubled(g, _folded(g, "Add", terms), op.shift)
    return g("Add", acc, g.constant(program.tensors[f"{op.name}.bias"].reshape(shape))) if op.bias else acc


def digits(g: Graph, x: str, reach: Range, largest: int) -> list[Digit]:
    """x as bytes without sign, small enough that two products with weights up to ``largest`` fit 16 bits."""
    zero = -min(reach.low, 0)
    top = reach.high + zero
    bits = 8 if 2 * min(top, 255) * largest <= PAIR else 7
    raised = g("Add", x, zero) if zero else x
    found = []
    for shift in range(0, max(top.bit_length(), 1), bits):
        part = raised if top < 1 << bits else g("Mod", g("Div", raised, 1 << shift), 1 << bits)
        found.append(Digit(g.cast(part, TensorProto.UINT8), (zero >> shift) % (1 << bits), shift))
    return found


def _constant(g: Graph, op: Weighted, values: Integers) -> str:
    stored = values if isinstance(op, Conv2d) else np.ascontiguousarray(values.T)
    if values.min() >= INT4_LOW and values.max() <= INT4_HIGH:
        return g.nibbles(stored)
    return g.constant(stored, np.int8)


def _product(g: Graph, op: Weighted, digit: Digit, weight: str) -> str:
    zero = (g.constant(digit.zero, np.uint8),) if digit.zero else ()
    if not isinstance(op, Conv2d):
        return g("MatMulInteger", digit.name, weight, *zero)
    window = {"strides": op.stride, "dilations": op.dilation, "pads": [*op.padding, *op.padding]}
    return g("ConvInteger", digit.name, weight, *zero, group=op.groups, **window)


def _folded(g: Graph, kind: str, terms: list[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = g(kind, total, term)
    return total


def _pool(g: Graph, op: SumPool | OrPool, inputs: list[str], kind: str, program: Program) -> str:
    x = inputs[0]
    for axis, size, stride, count in zip((2, 3), op.size, op.stride, program.shapes[op.name][1:], strict=True):
        rows = []
        for begin in range(size):
            ends = begin + stride * (count - 1) + 1
            slots = [g.constant([each], np.int64) for each in (begin, ends, axis, stride)]
            rows.append(g("Slice", x, *slots))
        x = _folded(g, kind, rows)
    return x


def _inhibit(g: Graph, op: Inhibit, inputs: list[str], program: Program) -> str:
    axes = g.constant(list(range(1, len(program.shapes[op.name]) + 1)), np.int64)
    return g("Mul", g("Sub", g("ReduceSum", inputs[0], axes, keepdims=1), inputs[0]), -op.strength)


STATELESS: Mapping[str, Callable[[Graph, Any, list[str], Program], str]] = {
    "sum_pool": lambda g, op, inputs, program: _pool(g, op, inputs, "Add", program),
    "or_pool": lambda g, op, inputs, program: _pool(g, op, inputs, "Max", program),
    "add": lambda g, op, inputs, program: _folded(g, "Add", inputs),
    "concat": lambda g, op, inputs, program: g("Concat", *inputs, axis=1),
    "inhibit": _inhibit,
    "flatten": lambda g, op, inputs, program: g("Flatten", inputs[0], axis=1),
}
