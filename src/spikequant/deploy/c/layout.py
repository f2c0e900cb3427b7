"""Where everything lies: which operations run together, in which buffers their values live, and for how long."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.bounds import Range
from spikequant.deploy.c.text import BYTES, Field, holder
from spikequant.deploy.lateral import Delay
from spikequant.deploy.operations import AnyOperation, Conv2d, Dense, Flatten, Lif
from spikequant.deploy.program import INPUT, Program

Integers = NDArray[np.int64]


class Form(NamedTuple):
    """What the C is written for. ``once``: layers that see nothing but a still image keep their sums, computed when it is shown.
    ``scattered``: fast and large, weights unpacked and whole planes of sums, each active input added where it reaches.
    ``traced``: what layers of neurons emit is written to where ``PREFIX_seen`` points, to be compared.
    """

    once: bool = False
    scattered: bool = False
    traced: bool = False


class Stage(NamedTuple):
    """Operations that run as one: synapses with the neurons that alone read them, or a single operation."""

    op: AnyOperation
    lif: Lif | None = None

    @property
    def name(self) -> str:
        """Whose value it gives."""
        return self.op.name if self.lif is None else self.lif.name


class Buffer(NamedTuple):
    """Where a value lies: at ``offset`` of the arena of its type."""

    kind: str
    offset: int
    elements: int

    @property
    def place(self) -> str:
        """In C."""
        return f"m->values_{self.kind.removesuffix('_t')} + {self.offset}"


class Layout(NamedTuple):
    """The plan of a program: its stages in order, the buffer of every value, and the arenas that hold them."""

    stages: list[Stage]
    buffers: dict[str, Buffer]
    arenas: list[Field]


def plan(program: Program) -> Layout:
    """Lay a program out; values share memory where they do not live at the same time."""
    places = _places(program)
    stages = [stage for stage in _stages(program) if places[stage.name] == stage.name]
    ranges = {INPUT: Range(program.header.source.low, program.header.source.high)}
    ranges |= {name: proof.value for name, proof in program.proofs.items()}
    lives = _lives(program, stages, places)
    buffers: dict[str, Buffer] = {}
    for name in sorted(lives, key=lambda name: -math.prod(program.shapes[name])):
        kind, count = holder(ranges[name]), math.prod(program.shapes[name])
        taken = [buffers[other] for other in buffers if buffers[other].kind == kind and _overlap(lives[name], lives[other])]
        buffers[name] = Buffer(kind, _gap(taken, count), count)
    arenas = [
        Field(f"values_{kind.removesuffix('_t')}", kind, max(each.offset + each.elements for each in buffers.values() if each.kind == kind))
        for kind in sorted({each.kind for each in buffers.values()}, key=lambda kind: -BYTES[kind])
    ]
    return Layout(stages, {name: buffers[place] for name, place in places.items() if place in buffers}, arenas)


def height_width(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width; features are channels of one pixel."""
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)


def channels_last(value: Integers) -> Integers:
    """``[batch, channel, ...]`` as it lies in memory: ``[batch, ..., channel]``."""
    return value if value.ndim < 3 else np.moveaxis(value, 1, -1)


def _places(program: Program) -> dict[str, str]:
    """In whose memory every value lies: a flattened one of one channel or one pixel is where it was."""
    places = {INPUT: INPUT}
    for op in program.header.operations:
        channels, height, width = height_width(program.shapes[op.inputs[0]])
        stays = isinstance(op, Flatten) and 1 in (channels, height * width)
        places[op.name] = places[op.inputs[0]] if stays else op.name
    return places


def _lives(program: Program, stages: list[Stage], places: dict[str, str]) -> dict[str, tuple[int, int]]:
    """The first and the last stage of every value that has memory."""
    last_use = {places[source]: index for index, stage in enumerate(stages) for source in stage.op.inputs}
    lives = {stage.name: (index, last_use.get(stage.name, len(stages))) for index, stage in enumerate(stages)}
    # The input lives through every step, what a later step looks back at too, and the last value until it is read out.
    throughout = [INPUT, *(stage.op.inputs[0] for stage in stages if isinstance(stage.op, Delay))]
    lives |= {places[name]: (-1, len(stages)) for name in throughout}
    last = places[program.header.operations[-1].name]
    return lives | {last: (lives[last][0], len(stages))}


def _stages(program: Program) -> list[Stage]:
    readers: dict[str, list[AnyOperation]] = {}
    for op in program.header.operations:
        for source in op.inputs:
            readers.setdefault(source, []).append(op)
    stages, gone = [], set[str]()
    for op in program.header.operations:
        if op.name in gone:
            continue
        following = readers.get(op.name, [])
        lif = following[0] if isinstance(op, Dense | Conv2d) and len(following) == 1 and isinstance(following[0], Lif) else None
        assert lif is None or isinstance(lif, Lif), "checked above"
        gone |= {lif.name} if lif else set()
        stages.append(Stage(op, lif))
    return stages


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def _gap(taken: list[Buffer], count: int) -> int:
    """The first place where ``count`` elements fit between those that are taken."""
    at = 0
    for each in sorted(taken, key=lambda buffer: buffer.offset):
        if at + count <= each.offset:
            return at
        at = max(at, each.offset + each.elements)
    return at
