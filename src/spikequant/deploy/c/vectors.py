"""Test vectors: images, and the hash of every state and spike that the interpreter finds for them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.c.emit import SEED
from spikequant.deploy.c.layout import channels_last
from spikequant.deploy.machine import as_array, encode, moments
from spikequant.deploy.operations import Conv2d, Dense, Lif
from spikequant.deploy.program import Program
from spikequant.errors import SpecError

Integers = NDArray[np.int64]
FACTOR = np.uint32(16777619)


def drawn(program: Program, count: int, seed: int = 0) -> Integers:
    """Random codes for a program, or pixels where it takes them."""
    source, draw = program.header.source, np.random.default_rng(seed)
    low, high = (0, 255) if source.table else (source.low, source.high)
    shape = (count, *source.shape) if source.still else (program.header.time, count, *source.shape)
    return draw.integers(low, high + 1, shape)


def inputs(program: Program, images: Any) -> Integers:
    """What every written form is fed with: pixels where the program has a table of them, else codes.

    Raises:
        MismatchError: the images do not fit the program.
        SpecError: the program takes pixels, these are real numbers.
    """
    codes = encode(program, images)
    if not program.header.source.table:
        return codes
    pixels = as_array(images)
    if pixels.dtype.kind == "f":
        raise SpecError(f"{program.header.name} takes pixels of 0 to 255, got real numbers; pass bytes")
    return pixels.astype(np.int64)


def first(program: Program, shown: Integers, count: int) -> Integers:
    """The first images of those that ``inputs`` gives."""
    return shown[:count] if program.header.source.still else shown[:, :count]


def hashes(program: Program, images: Integers) -> list[int]:
    """For every image the hash that the C finds: of each layer all states and what it emits, channels last.

    Equation: ``h <- 16777619 h + x`` modulo 2^32, over steps and neurons, then over layers.
    """
    codes = encode(program, images)
    neurons = [op for op in program.header.operations if isinstance(op, Lif)]
    seen: dict[str, list[Integers]] = {op.name: [] for op in neurons}
    for moment in moments(program, codes):
        for op in neurons:
            parts = [*(part for part in moment.membranes[op.name] if part is not None), moment.values[op.name]]
            rows = [channels_last(part).reshape(len(part), -1) for part in parts]
            seen[op.name].append(np.stack(rows, axis=-1).reshape(len(rows[0]), -1))
    layers = [_mixed(np.concatenate(each, axis=1), SEED) for each in seen.values()]
    if not layers:
        return [0] * codes.shape[0 if program.header.source.still else 1]
    return [int(each) for each in _mixed(np.stack(layers, axis=1).astype(np.int64), 0)]


def activity(program: Program, images: Integers) -> dict[str, float]:
    """The share of active inputs of every layer of synapses, over images and steps."""
    layers = [op for op in program.header.operations if isinstance(op, Dense | Conv2d)]
    seen: dict[str, list[float]] = {op.name: [] for op in layers}
    for moment in moments(program, encode(program, images)):
        for op in layers:
            seen[op.name].append(float((moment.values[op.inputs[0]] != 0).mean()))
    return {name: sum(each) / len(each) for name, each in seen.items()}


def _mixed(rows: Integers, seed: int) -> NDArray[np.uint32]:
    """The hash of every row."""
    count = rows.shape[1]
    powers = np.cumprod(np.concatenate([[np.uint32(1)], np.full(count, FACTOR, np.uint32)]), dtype=np.uint32)
    summed = (rows.astype(np.uint32) * powers[:count][::-1]).sum(1, dtype=np.uint32)
    begun = (np.full(1, seed, np.uint32) * powers[count:])[0]
    return np.asarray(summed + begun, dtype=np.uint32)
