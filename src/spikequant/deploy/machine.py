"""The reference interpreter, in NumPy int64: the judge of every other form of a program."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikequant.deploy.arithmetic import Constants, Membrane, looked_up, rest, step
from spikequant.deploy.bounds import weights
from spikequant.deploy.lateral import DRAW_BITS, Delay, Inhibit, Winner
from spikequant.deploy.operations import Conv2d, Dense, Lif, OrPool, SumPool, Weighted
from spikequant.deploy.program import INPUT, Program
from spikequant.errors import MismatchError
from spikequant.numerics import rated

Integers = NDArray[np.int64]
CHUNK = 64


class Moment(NamedTuple):
    """One time step: every value ``[batch, ...]`` and every membrane by the name of its operation."""

    values: dict[str, Integers]
    membranes: dict[str, Membrane]


def run(program: Program, images: Any) -> Integers:
    """Scores ``[batch, class]``."""
    return interpret(program, encode(program, images))


def interpret(program: Program, codes: Integers) -> Integers:
    """Scores ``[batch, class]`` of codes, as ``encode`` gives them."""
    still = program.header.source.still
    parts = range(0, codes.shape[0 if still else 1], CHUNK)
    scores = [_scores(program, codes[at : at + CHUNK] if still else codes[:, at : at + CHUNK]) for at in parts]
    return np.asarray(np.concatenate(scores))


def encode(program: Program, images: Any) -> Integers:
    """The whole numbers that a program sees of images; see ``Source``.

    Raises:
        MismatchError: another shape, NaN, or codes out of range; of events fractions too, for nothing rounds them in the network.
    """
    return np.asarray(_codes(program, images), dtype=np.int64)


def encode_narrow(program: Program, images: Any) -> NDArray[np.int8]:
    """The same in an eighth of the memory, for the executor."""
    return np.asarray(_codes(program, images), dtype=np.int8)


def _codes(program: Program, images: Any) -> NDArray[Any]:
    source, x = program.header.source, as_array(images)
    if x.dtype.kind not in "biuf":
        raise MismatchError(f"{program.header.name} takes numbers, got {x.dtype if x.ndim else type(images).__name__}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise MismatchError(f"the input of {program.header.name} holds {int((~np.isfinite(x)).sum())} values that are not finite")
    if source.rate is not None and x.shape[1:] == source.shape and x.size:
        return drawn_spikes(x, source.rate, program.header.time)
    refuse_shape(program, x.shape)
    if x.dtype.kind == "f":
        # float32 as in training: the same division, the same rounding.
        real = x.astype(np.float32) / np.float32(source.step)
        whole = np.rint(real)
        if source.still:
            return np.asarray(np.clip(whole, source.low, source.high))
        if not np.array_equal(whole, real):
            raise MismatchError(f"{program.header.name} takes whole numbers of events, got {x[whole != real].flat[0]}; count them first")
        refuse_beyond(program, whole, source.low, source.high)
        return np.asarray(whole)
    codes = x.astype(np.int64)
    if not source.table:
        refuse_beyond(program, codes, source.low, source.high)
        return codes
    refuse_beyond(program, codes, 0, 255)
    channel = np.arange(source.shape[0]).reshape(-1, *[1] * (len(source.shape) - 1))
    return np.asarray(program.tensors["input.table"][channel, codes])


def as_array(images: Any) -> NDArray[Any]:
    """Images as NumPy has them: of tensors their values, wherever they lie; real ones in float32, in which they are encoded."""
    if not isinstance(images, Tensor):
        return np.asarray(images)
    values = images.detach().cpu()
    return np.asarray((values.float() if values.is_floating_point() else values).numpy())


def refuse_shape(program: Program, shape: tuple[int, ...]) -> None:
    """Codes are ``[batch, ...]``, or ``[time, batch, ...]`` where they are not still.

    Raises:
        MismatchError: these are not, or there are none.
    """
    source, time = program.header.source, program.header.time
    lead = 1 if source.still else 2
    if shape[lead:] != source.shape or len(shape) != lead + len(source.shape) or not math.prod(shape):
        axes = "batch" if source.still else "time, batch"
        raise MismatchError(f"{program.header.name} takes [{axes}, {', '.join(map(str, source.shape))}], got {list(shape)}")
    if not source.still and shape[0] != time:
        raise MismatchError(f"{program.header.name} takes {time} time steps, got {shape[0]}")


def refuse_beyond(program: Program, codes: NDArray[Any], low: int, high: int) -> None:
    """Codes lie in a range.

    Raises:
        MismatchError: some do not.
    """
    least, most = int(codes.min()), int(codes.max())
    if least < low or most > high:
        source = program.header.source
        way = "" if source.still or source.rate else f"; lower(..., events={min(least, low), max(most, high)}) makes a program for these"
        raise MismatchError(f"the input of {program.header.name} holds {least} to {most}, must lie in {low} to {high}{way}")


def drawn_spikes(images: NDArray[Any], rate: float, time: int) -> NDArray[np.bool_]:
    """Spikes ``[time, batch, ...]`` of images with values in [0, 1], the draw of an ``Encode`` that does not train."""
    chance = rate * torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    return np.asarray(rated(chance, time).numpy())


def moments(program: Program, codes: Integers) -> Iterator[Moment]:
    """Every time step of a batch of codes, ``[batch, ...]`` where they are still, else ``[time, batch, ...]``."""
    held = {op.name: constants(program, op) for op in program.header.operations if isinstance(op, Lif)}
    membranes: dict[str, Membrane] = {}
    still: dict[str, Integers] = {}
    before: dict[str, Integers] = {}
    for t in range(program.header.time):
        values = {INPUT: codes if program.header.source.still else codes[t]}
        for op in program.header.operations:
            if isinstance(op, Delay):
                values[op.name] = before.get(op.inputs[0], np.zeros((len(values[INPUT]), *op.shape), np.int64))
                continue
            inputs = [values[name] for name in op.inputs]
            if isinstance(op, Lif):
                begin = membranes.get(op.name) or rest(op, inputs[0], held[op.name])
                z, membranes[op.name] = step(op, inputs[0], begin, held[op.name])
                values[op.name] = z if op.emits == "spikes" else membrane_value(held[op.name], membranes[op.name])
            elif isinstance(op, Winner):
                values[op.name] = won(inputs[0], int(program.tensors[f"{op.name}.draws"][t % op.draws]))
            elif op.name in still:
                values[op.name] = still[op.name]
            else:
                values[op.name] = VALUES[op.kind](op, inputs, program)
                if program.header.source.still and all(name == INPUT or name in still for name in op.inputs):
                    still[op.name] = values[op.name]
        before = values
        yield Moment(values, dict(membranes))


def constants(program: Program, op: Lif) -> Constants:
    """The constants of a neuron layer, shaped for ``step``."""
    space = len(program.shapes[op.name]) - 1
    threshold = program.tensors[f"{op.name}.threshold"].reshape(1, -1, *[1] * space)
    return Constants(threshold, *(program.tensors.get(f"{op.name}.{part}") for part in ("levels", "leaked")))


def membrane_value(held: Constants, membrane: Membrane) -> Integers:
    """The membrane as a number: of a codebook, the level."""
    return membrane.v if held.levels is None else looked_up(held.levels, membrane.v)


def won(x: Integers, draw: int) -> Integers:
    """Of the values ``[batch, neuron]`` above 0 the one that is drawn; see ``Winner``.

    >>> won(np.array([[1, 0, 1], [0, 0, 0]]), 2**14).tolist()
    [[0, 0, 1], [0, 0, 0]]
    """
    active = x > 0
    chosen = draw * active.sum(1, keepdims=True) >> DRAW_BITS
    return np.where(active & (active.cumsum(1) - 1 == chosen), x, 0)


def taken(program: Program, so_far: Integers | None, t: int, value: Integers) -> Integers:
    """The scores after one step more; None before the first."""
    rule, never = program.header.readout, program.header.time
    if rule == "first_spike":
        before = np.full_like(value, never) if so_far is None else so_far
        return np.where((before == never) & (value > 0), t, before)
    return value if so_far is None or rule == "last" else so_far + value


def _scores(program: Program, codes: Integers) -> Integers:
    scores: Integers | None = None
    last = program.header.operations[-1].name
    for t, moment in enumerate(moments(program, codes)):
        value = moment.values[last]
        scores = taken(program, scores, t, value.reshape(len(value), -1))
    assert scores is not None, "time is at least 1"
    return scores


def _dense(op: Dense, inputs: list[Integers], program: Program) -> Integers:
    return _biased(op, inputs[0] @ weights(op, program.tensors).T, program)


def _conv2d(op: Conv2d, inputs: list[Integers], program: Program) -> Integers:
    (x,), w = inputs, weights(op, program.tensors)
    _, height, width = program.shapes[op.name]
    ph, pw = op.padding
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    groups = padded.reshape(len(x), op.groups, -1, *padded.shape[2:])
    kernels = w.reshape(op.groups, -1, *w.shape[1:])
    acc = np.zeros((len(x), op.groups, kernels.shape[1], height, width), np.int64)
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            y, z = i * op.dilation[0], j * op.dilation[1]
            window = groups[..., y : y + op.stride[0] * height : op.stride[0], z : z + op.stride[1] * width : op.stride[1]]
            acc += np.einsum("goc,bgchw->bgohw", kernels[..., i, j], window[..., :height, :width], optimize=True)
    return _biased(op, acc.reshape(len(x), -1, height, width), program)


def _biased(op: Weighted, acc: Integers, program: Program) -> Integers:
    acc = acc << op.shift
    return acc + program.tensors[f"{op.name}.bias"].reshape(1, -1, *[1] * (acc.ndim - 2)) if op.bias else acc


def _windows(op: SumPool | OrPool, x: Integers) -> Integers:
    """``[batch, channel, height, width, window]``."""
    seen = np.lib.stride_tricks.sliding_window_view(x, op.size, axis=(2, 3))[:, :, :: op.stride[0], :: op.stride[1]]
    return seen.reshape(*seen.shape[:4], -1)


def _inhibit(op: Inhibit, inputs: list[Integers], program: Program) -> Integers:
    (x,) = inputs
    return np.asarray(-op.strength * (x.sum(axis=tuple(range(1, x.ndim)), keepdims=True) - x))


VALUES: dict[str, Callable[[Any, list[Integers], Program], Integers]] = {
    "dense": _dense,
    "conv2d": _conv2d,
    "sum_pool": lambda op, inputs, program: _windows(op, inputs[0]).sum(-1),
    "or_pool": lambda op, inputs, program: _windows(op, inputs[0]).max(-1),
    "add": lambda op, inputs, program: np.sum(inputs, axis=0),
    "concat": lambda op, inputs, program: np.concatenate(inputs, axis=1),
    "inhibit": _inhibit,
    "flatten": lambda op, inputs, program: inputs[0].reshape(len(inputs[0]), -1),
}
