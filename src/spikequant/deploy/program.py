"""The integer program: operations in order, and the whole numbers that they store."""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, model_validator

from spikequant import files
from spikequant.deploy.base import INT32, LARGEST, Shape, Slot
from spikequant.deploy.bounds import Proof, Range, prove
from spikequant.deploy.lateral import Delay
from spikequant.deploy.operations import AnyOperation, Lif
from spikequant.errors import SpecError, nearest
from spikequant.quantizers import Spec

Integers = NDArray[np.int64]
if TYPE_CHECKING:
    from spikequant.deploy.checking import Check, Loader
    from spikequant.deploy.executor import Engine
    from spikequant.deploy.ledger import Ledger
    from spikequant.deploy.nir import Written as WrittenView
    from spikequant.deploy.onnx import Written
    from spikequant.models import Network

INPUT = "input"


class Source(Spec):
    """What a program is fed: whole numbers ``low..high`` of ``shape``.

    ``still``: one image for all steps, else ``[time, batch, ...]``. Pixels become these numbers by a table ``[channel, 256]`` (``table``),
    real numbers by ``round(x / step)``, ties to even; of what is not still they must be whole. Where there is a ``rate``, images
    ``[batch, ...]`` become spikes ``[time, batch, ...]``: one in each step with probability ``rate x``, drawn as the network's encoding
    draws it.
    """

    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=2**20)], ...], Field(min_length=1, max_length=3, strict=False)]
    low: Annotated[int, Field(ge=-128, le=0)] = 0
    high: Annotated[int, Field(ge=1, le=127)] = 1
    still: bool = True
    step: Annotated[float, Field(gt=0)] = 1.0
    table: bool = False
    rate: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _draws_spikes(self) -> "Source":
        if self.rate is not None and (self.still or (self.low, self.high) != (0, 1)):
            raise ValueError("a rate draws spikes: it needs still=False, low=0 and high=1")
        return self


class Header(Spec):
    """All of a program but its tensors. ``info`` is for people: no run depends on it.

    ``readout`` over time of the last value: ``sum`` (of spikes: their count), ``last``, or ``first_spike`` (T where there is none;
    the least wins); of equal classes the lowest index wins.
    """

    version: Literal[1] = 1
    name: str = Field(max_length=256)
    time: Annotated[int, Field(ge=1, le=100_000)]
    source: Source
    operations: Annotated[tuple[AnyOperation, ...], Field(min_length=1, max_length=10_000, strict=False)]
    readout: Literal["sum", "last", "first_spike"] = "sum"
    info: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_topological(self) -> "Header":
        known, names = [INPUT], [op.name for op in self.operations]
        for index, op in enumerate(self.operations):
            looked_at, which = (names[index + 1 :], "later") if isinstance(op, Delay) else (known, "earlier")
            for source in op.inputs:
                if source not in looked_at:
                    raise ValueError(f"operation {op.name!r}: its input {source!r} is no {which} operation{nearest(source, looked_at)}")
            if op.name in known:
                raise ValueError(f"operation {op.name!r}: the name is taken; choose another")
            known.append(op.name)
        return self


class Program:
    """A network as whole numbers: what it computes is defined by ``machine.run``, and every other form must equal it.

    ``tensors`` are int64 by name (``conv1.weight``), copies that cannot be written to; ``shapes``, ``proofs`` are per operation, in order.

    Raises:
        SpecError: tensors are absent, of another shape, out of range or no whole numbers; shapes do not fit; an overflow bound cannot
            be proven.
    """

    def __init__(self, header: Header, tensors: Mapping[str, Any]) -> None:
        self.header = header
        self.tensors: dict[str, Integers] = {name: _kept(name, value) for name, value in sorted(tensors.items())}
        self.shapes, self.slots = layout(header)
        _refuse_others(self.slots, self.tensors)
        for name, slot in self.slots.items():
            _refuse_unfit(name, slot, self.tensors[name])
        for op in header.operations:
            if isinstance(op, Lif) and op.levels:
                _refuse_unsorted(op, self.tensors[f"{op.name}.levels"])
        self.proofs = _proofs(header, self.shapes, self.tensors)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew, from what is stored: what runs a program is a library in this process."""
        return Program, (self.header, self.tensors)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 over header and tensors; every form of the program bears it."""
        digest = hashlib.sha256(canonical(self.header.fields()).encode())
        for name, value in self.tensors.items():
            digest.update(f"{name}{value.shape}".encode())
            digest.update(value.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def report(self) -> dict[str, Any]:
        """What ``lower`` said: whether the program is exact, what changed, the bounds of every accumulator, and what was measured."""
        return dict(self.header.info.get("report") or {})  # type: ignore[arg-type]

    def reach(self, name: str) -> Range:
        """What a value can take, the input's among them."""
        return Range(self.header.source.low, self.header.source.high) if name == INPUT else self.proofs[name].value

    @property
    def reach_of_scores(self) -> Range:
        """What a score can be, after any number of steps."""
        last, time = self.reach(self.header.operations[-1].name), self.header.time
        if self.header.readout == "first_spike":
            return Range(0, time)
        return last if self.header.readout == "last" else Range(min(last.low * time, last.low), max(last.high * time, last.high))

    @property
    def classes(self) -> int:
        """How many scores a run gives."""
        return math.prod(self.shapes[self.header.operations[-1].name])

    def __str__(self) -> str:
        """One line: what it is, how large, and its hash."""
        stored = sum(value.size for value in self.tensors.values())
        steps = f"{self.header.time} time steps, {len(self.header.operations)} operations, {stored} numbers"
        return f"program {self.header.name!r}: {steps}, {self.classes} classes, {self.hash[:12]}"

    def run(self, images: Any) -> Integers:
        """Scores ``[batch, class]`` of images: real (as the network takes them), or whole (pixels where there is a table, else codes).

        Much work is done by the program's C, compiled here, little by the interpreter; see ``spikequant.deploy.executor``.

        Raises:
            MismatchError: another shape than the program's, values out of range, or fractions of events.
        """
        return self._engine.run(images)

    @functools.cached_property
    def _engine(self) -> "Engine":
        from spikequant.deploy.executor import Engine

        return Engine(self)

    def predict(self, images: Any) -> Integers:
        """The class of every image ``[batch]``: of equal scores the lowest index."""
        return self.chosen(self.run(images))

    def chosen(self, scores: Integers) -> Integers:
        """The class of scores ``[batch, class]``."""
        return np.asarray(scores.argmin(1) if self.header.readout == "first_spike" else scores.argmax(1))

    def check(self, network: "Network", loader: "Loader", batches: int | None = None) -> "Check":
        """This program beside the network that it came from: every spike compared, the first that differs named.

        Raises:
            MismatchError: the network has other layers of neurons, or the program does not take these images.
            SpecError: the loader gave nothing.
        """
        from spikequant.deploy.checking import check

        return check(self, network, loader, batches)

    def write_c(self, folder: str | Path, images: Any = None, prefix: str = "net", *, once: bool = False) -> dict[str, Any]:
        """Write the program as C99: model, test vectors, Makefile and report; see ``spikequant.deploy.c.write_c``."""
        from spikequant.deploy.c import write_c

        return write_c(self, folder, images, prefix, once=once)

    def write_onnx(self, path: str | Path, images: Any = None) -> "Written":
        """Write the program as ONNX, checked in onnxruntime; see ``spikequant.deploy.onnx.write_onnx``."""
        try:
            from spikequant.deploy.onnx import write_onnx
        except ImportError as error:
            raise SpecError(f"ONNX needs {error.name}, which is not installed: pip install 'spikequant[onnx]'") from None
        return write_onnx(self, path, images)

    def write_nir(self, path: str | Path, images: Any = None, reader: str = "spikingjelly") -> "WrittenView":
        """Write the program as a NIR view for one reader, and count the spikes it gets wrong; see ``spikequant.deploy.nir.write_nir``."""
        try:
            from spikequant.deploy.nir import write_nir
        except ImportError as error:
            raise SpecError(f"NIR needs {error.name}, which is not installed: pip install 'spikequant[nir]'") from None
        return write_nir(self, path, images, reader)

    def ledger(self, images: Any) -> "Ledger":
        """Bytes, synaptic operations, bits moved and energy for one image; see ``spikequant.deploy.ledger``."""
        from spikequant.deploy.ledger import ledger

        return ledger(self, images)

    def save(self, path: str | Path) -> None:
        """Write the program as one file.

        Raises:
            SpikequantError: the file cannot be written.
        """
        from spikequant.deploy.container import to_bytes

        files.write(Path(path), to_bytes(self))

    @classmethod
    def load(cls, path: str | Path) -> "Program":
        """Read a program that ``save`` wrote; nothing in it is executed, every damaged byte is refused.

        Raises:
            FormatError: absent, damaged, hostile or of another version.
        """
        from spikequant.deploy.container import LIMIT, from_bytes

        return from_bytes(files.read(Path(path), LIMIT), str(path))


def refuse_wide_scores(program: Program) -> None:
    """Only the forms whose scores have 32 bits ask for this.

    Raises:
        SpecError: scores can leave 32 bits.
    """
    last, time, reach = program.header.operations[-1].name, program.header.time, program.reach_of_scores
    if reach.bits > 32:
        steps = INT32 // program.reach(last).largest
        raise SpecError(f"{last}: scores over {time} steps can reach {reach.largest}, beyond 32 bits; take at most {steps} steps")


def canonical(document: Any) -> str:
    """JSON in its one form: sorted, without spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def layout(header: Header) -> tuple[dict[str, Shape], dict[str, Slot]]:
    """The shape of every value and the slot of every tensor.

    Raises:
        SpecError: an operation cannot take its inputs, or something is too large for any target.
    """
    shapes: dict[str, Shape] = {INPUT: header.source.shape}
    slots = {"input.table": Slot((header.source.shape[0], 256), header.source.low, header.source.high)} if header.source.table else {}
    _refuse_huge("the input", header.source.shape)
    for op in header.operations:
        taken = [] if isinstance(op, Delay) else [shapes[source] for source in op.inputs]
        shapes[op.name] = op.out_shape(taken)
        _refuse_huge(op.name, shapes[op.name])
        for part, slot in op.slots(taken).items():
            _refuse_huge(f"{op.name}.{part}", slot.shape)
            slots[f"{op.name}.{part}"] = slot
    for op in header.operations:
        if isinstance(op, Delay) and shapes[op.inputs[0]] != op.shape:
            raise SpecError(f"{op.name}: declares shape {op.shape}, {op.inputs[0]} has {shapes[op.inputs[0]]}")
    return shapes, slots


def _refuse_huge(name: str, shape: Shape) -> None:
    if math.prod(shape) > LARGEST:
        raise SpecError(f"{name}: shape {tuple(shape)} has more than {LARGEST} elements")


def _kept(name: str, value: Any) -> Integers:
    """A copy that nothing can change, for the proofs hold of what is stored now."""
    given = np.asarray(value)
    if given.dtype.kind not in "iub" and not np.array_equal(given, np.rint(given)):
        raise SpecError(f"tensor {name!r} holds {given[given != np.rint(given)].flat[0]}, must hold whole numbers")
    kept = given.astype(np.int64)
    kept.setflags(write=False)
    return kept


def _refuse_others(slots: Mapping[str, Slot], tensors: Mapping[str, Integers]) -> None:
    for name in sorted(slots.keys() ^ tensors.keys()):
        raise SpecError(f"tensor {name!r} is {'absent' if name in slots else 'not part of this program'}")


def _refuse_unfit(name: str, slot: Slot, value: Integers) -> None:
    if value.shape != slot.shape:
        raise SpecError(f"tensor {name!r} has shape {value.shape}, must have {slot.shape}")
    low, high = int(value.min()), int(value.max())
    if low < slot.low or high > slot.high:
        rule = " (a threshold below 1 would fire for ever: use more state bits or a finer scale)" if name.endswith("threshold") else ""
        raise SpecError(f"tensor {name!r} holds {low} to {high}, must lie in {slot.low} to {slot.high}{rule}")


def _refuse_unsorted(op: Lif, levels: Integers) -> None:
    if not (np.diff(levels, axis=1) > 0).all():
        raise SpecError(f"{op.name}: the levels of its codebook must ascend; merged levels need fewer of them")


def _proofs(header: Header, shapes: Mapping[str, Shape], tensors: Mapping[str, Integers]) -> dict[str, Proof]:
    values = {INPUT: Range(header.source.low, header.source.high)}
    proofs = {}
    for op in header.operations:
        inputs = [] if isinstance(op, Delay) else [values[source] for source in op.inputs]
        proofs[op.name] = prove(op, inputs, tensors, math.prod(shapes[op.name]))
        values[op.name] = proofs[op.name].value
    for op in header.operations:
        if isinstance(op, Delay) and (values[op.inputs[0]].low < 0 or values[op.inputs[0]].high > op.high):
            raise SpecError(f"{op.name}: declares values of 0 to {op.high}, {op.inputs[0]} can give {tuple(values[op.inputs[0]])}")
    return proofs
