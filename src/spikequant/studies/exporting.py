"""The verbs export and verify: a network or program out of Python, and its forms beside each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikequant.data import Batches, DataSet, Split, load
from spikequant.deploy import Pixels, Program, lower
from spikequant.deploy.machine import encode
from spikequant.deploy.transcribing import takes_pixels
from spikequant.deploy.verifying import verify
from spikequant.errors import SpecError, unknown
from spikequant.studies.resolve import is_file, resolve_data, resolve_model

BATCH, SHOWN, COUNTED = 128, 64, 8


def export(form: str, origin: str, out: Path, data: str | None = None, reader: str | None = None) -> dict[str, Any]:
    """Write ``origin``, a program's file or a network, in a form; ``data`` names the set whose *training* images calibrate what is no
    integer network yet, say how active its layers are, and become test vectors. ``reader``: the library that a NIR view is for.

    Raises:
        SpecError: form or reader is unknown, the form has no readers, data is needed or does not fit, or something has no integer form.
    """
    if form not in WRITERS:
        raise SpecError(unknown("form", form, WRITERS))
    if reader is not None and form != "nir":
        raise SpecError(f"form {form!r} is the same for every reader, got reader {reader!r}; leave it out, or write 'nir'")
    program, images = _program(origin, data)
    written = WRITERS[form](program, out, images, **({} if reader is None else {"reader": reader}))
    counted = {} if images is None else {"ledger": _counted(program, images)}
    return {"form": form, "out": str(out), "program": program.hash, "report": program.report, **written, **counted}


def _counted(program: Program, images: Any) -> dict[str, Any]:
    """The ledger as a document: bytes, and operations, bits moved and picojoules of one image."""
    found = program.ledger(images[:COUNTED] if program.header.source.still else images[:, :COUNTED])
    work = {name: each._asdict() for name, each in found.work.items()}
    moved = {name: getattr(found, name)._asdict() for name in ("dense", "events")}
    return {"bytes": found.storage._asdict(), "work": work, **moved, "sparsity": found.sparsity, "energy_pj": found.energy._asdict()}


def _program(origin: str, data: str | None) -> tuple[Program, Any]:
    if is_file(origin):
        program = Program.load(origin)
        return program, None if data is None else _shown(program, load(data), "train", SHOWN)
    network = resolve_model(origin)
    if data is None:
        program = lower(network)
        return program, None
    found = resolve_data(data, network)
    pixels = Pixels(scale=found.scale) if takes_pixels(network) else None
    program = lower(network, Batches(found.train, BATCH, found.scale, seed=0), pixels=pixels, events=_counts(found.train))
    return program, _shown(program, found, "train", SHOWN)


def _counts(train: Split) -> tuple[int, int]:
    """The range of event counts that the training sequences hold, which a program of events is made for."""
    return (0, max(1, int(train.x.max()))) if train.sequence else (0, 1)


def _shown(program: Program, data: DataSet, split: str, count: int) -> Any:
    """The first samples of a split, as the program takes them."""
    source, samples = program.header.source, getattr(data, split)
    if source.rate is not None and not samples.sequence and data.shape == source.shape:
        return encode(program, (samples.x[:count].float() / data.scale).numpy())
    if samples.sequence == source.still or data.shape != source.shape:
        kind = "sequences" if samples.sequence else "images"
        raise SpecError(f"{data.name} has {kind} of shape {data.shape}, {program.header.name} takes {source.shape}, still: {source.still}")
    x = samples.x[:count]
    if samples.sequence:
        return x.transpose(0, 1).numpy()
    return x.numpy() if source.table else (x.float() / data.scale).numpy()


def _program_file(program: Program, out: Path, images: Any) -> dict[str, Any]:
    program.save(out)
    return {"bytes": out.stat().st_size}


def _onnx(program: Program, out: Path, images: Any) -> dict[str, Any]:
    return program.write_onnx(out, images)._asdict()


def _nir(program: Program, out: Path, images: Any, reader: str = "spikingjelly") -> dict[str, Any]:
    written = program.write_nir(out, images, reader)
    from spikequant.deploy.nir import READERS  # needs the library that was just used

    return {**written._asdict(), "reader": reader, "other_readers": sorted(READERS.keys() - {reader})}


def _c(program: Program, out: Path, images: Any) -> dict[str, Any]:
    sizes = program.write_c(out, images)
    return {name: sizes[name] for name in ("constant_bytes", "memory_bytes", "state_bytes")}


WRITERS: dict[str, Callable[..., dict[str, Any]]] = {"c": _c, "nir": _nir, "onnx": _onnx, "program": _program_file}


def verify_saved(path: str, data: str, images: int = 200, model: str | None = None) -> dict[str, Any]:
    """Every form of a program beside its interpreter on the first test images, or the network ``model``, if one is named; of a network
    spikes are compared and no scores.

    Raises:
        FormatError: the program's file is damaged.
        SpecError: the data does not fit.
    """
    program, found = Program.load(path), load(data)
    rows = [] if model else [each._asdict() for each in verify(program, _shown(program, found, "test", images))]
    if model is not None:
        part = found.test._replace(x=found.test.x[:images], y=found.test.y[:images])
        checked = program.check(resolve_model(model), Batches(part, BATCH, found.scale))
        spikes, different = (sum(getattr(layer, name) for layer in checked.layers) for name in ("spikes", "different"))
        rows.append({"form": model, "spikes": spikes, "different": different, "first": checked.first, "scores": None})
    for row in rows:
        row["said"] = None if row["first"] is None else str(row["first"])
        row["first"] = None if row["first"] is None else row["first"]._asdict()
    return {"program": program.hash, "images": min(images, len(found.test.y)), "forms": rows}
