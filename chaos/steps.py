"""A fault at every step that writing takes: a kill, a full disk, an I/O error, a refusal, one at a time, then the same again without it."""

import errno
import hashlib
import json
import mmap
import os
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import vl_convert

from chaos import kills, small_study
from chaos.kills import Broken
from chaos.targets import program
from spikequant import files, tensorfile
from spikequant.data import Batches, load
from spikequant.deploy import Program, container
from spikequant.errors import SpikequantError
from spikequant.models import build
from spikequant.recipes import load as load_model
from spikequant.recipes import save
from spikequant.studies import compare_saved
from spikequant.training import Training, fit
from spikequant.views.report import write_report

FAULTS = {"kill": None, "no space": errno.ENOSPC, "I/O error": errno.EIO, "permission": errno.EACCES}


class Operation(NamedTuple):
    """Something that writes: done in a folder, and what is then to be seen there; ``earlier`` makes a folder that holds another result."""

    work: Callable[[Path], object]
    seen: Callable[[Path], Any]
    earlier: Callable[[Path], object] | None = None


def train(folder: Path) -> None:
    """Two epochs with a checkpoint after each, and the saved network."""
    data = load("digits")
    network = build("digits", seed=0, width=2, time=1)
    loader = Batches(type(data.train)(data.train.x[:64], data.train.y[:64]), 32, data.scale, seed=0)
    fit(network, loader, Training(epochs=2), checkpoint=folder / "checkpoint.safetensors")
    save(network, folder / "network")


def _trained(folder: Path) -> dict[str, str]:
    tensors = tensorfile.content_of(load_model(folder / "network").state_dict())
    return {"network": hashlib.sha256(tensors).hexdigest()}


def _other_network(folder: Path) -> None:
    save(build("digits", seed=1, width=3, time=1), folder / "network")


def export(folder: Path) -> None:
    """An integer program, written."""
    container.from_bytes(program()).save(folder / "net.sqp")


def _other_program(folder: Path) -> None:
    small = container.from_bytes(program())
    Program(small.header.model_copy(update={"name": "other"}), small.tensors).save(folder / "net.sqp")


def report(folder: Path, record: str = "drift.json") -> None:
    """The report of a comparison; its figures are drawn once for all faults, since only their writing is tried."""
    for name in ("vegalite_to_svg", "vegalite_to_pdf"):
        setattr(vl_convert, name, _remembered(getattr(vl_convert, name), folder.parent))
    write_report(json.loads((folder.parent / record).read_text()), folder / "report.html")


def _remembered(draw: Callable[..., Any], place: Path) -> Callable[..., Any]:
    def drawn(spec: Any, *more: Any, **named: Any) -> Any:
        asked = repr((draw.__name__, spec, more, sorted(named.items()))).encode()
        kept = place / f"{hashlib.sha256(asked).hexdigest()}.drawn"
        if not kept.exists():
            found = draw(spec, *more, **named)
            kept.write_bytes(found.encode() if isinstance(found, str) else found)
        return kept.read_bytes() if draw.__name__.endswith("pdf") else kept.read_text()

    return drawn


def _comparison(folder: Path) -> None:
    one, other = str(folder / "one"), str(folder / "other")
    for seed, name in enumerate((one, other)):
        save(build("digits", seed=seed, width=2, time=1), name)
    (folder / "drift.json").write_text(json.dumps(compare_saved(one, other, "digits", batches=1)))
    (folder / "earlier.json").write_text(json.dumps(compare_saved(other, one, "digits", batches=1)))


def _other_report(folder: Path) -> None:
    report(folder, "earlier.json")


def study(folder: Path) -> None:
    """A study of two trials."""
    small_study._run(small_study.write_study(folder.parent, 2), folder / "out", {})


def _finished(folder: Path) -> Any:
    kills.audit(folder / "out", {})
    return kills.outcome(folder, folder / "out")


def _all(folder: Path) -> dict[str, str]:
    whole = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".tmp-"))
    return {path.relative_to(folder).as_posix(): _digest(path) for path in whole}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


OPERATIONS = {
    "train": Operation(train, _trained),
    "export": Operation(export, _all),
    "report": Operation(report, _all),
    "study": Operation(study, _finished),
    "train again": Operation(train, _trained, _other_network),
    "export again": Operation(export, _all, _other_program),
    "report again": Operation(report, _all, _other_report),
}


def campaign(name: str, results: Path | None, every: int = 1, change: Callable[[], object] = lambda: None) -> Counter[str]:
    """Every fault at every step of an operation (or at every so many); the counts.

    Raises:
        Broken: names fault and step.
    """
    operation, counts = OPERATIONS[name], Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.chdir(root)
        if operation.work is report:
            _child(lambda: _comparison(root))
        _begin(operation, root / "earlier")
        steps, expected = _calm(operation, root, change)
        for fault, code in FAULTS.items():
            for at in range(0, steps, every):
                folder = shutil.copytree(root / "earlier", root / "faulty")
                try:
                    counts[_faulted(operation, folder, at, code, expected, change)] += 1
                except Broken as error:
                    raise Broken(f"{name}, {fault} at step {at} of {steps}: {error}") from None
                counts["faults"] += 1
                shutil.rmtree(folder)
    if not counts["faults"]:
        raise Broken(f"{name}: nothing was tried")
    if results is not None:
        with (results / "steps.jsonl").open("a") as file:
            file.write(json.dumps({"operation": name, "steps": steps, **counts, "broken": 0}) + "\n")
    return counts


def _begin(operation: Operation, folder: Path) -> None:
    """The folder as each start finds it: empty, or with an earlier result."""
    folder.mkdir()
    earlier = operation.earlier
    if earlier is not None and _child(lambda: earlier(folder)) != 0:
        raise Broken("there is no earlier result to begin with")


def _calm(operation: Operation, root: Path, change: Callable[[], object]) -> tuple[int, Any]:
    folder = shutil.copytree(root / "earlier", root / "calm")
    count = Shared()
    status = _child(lambda: _with(lambda step, path: count.next(), operation, folder, change))
    if status != 0 or not count.value:
        raise Broken(f"it does not even end well undisturbed (status {status}, {count.value} steps)")
    return count.value, operation.seen(folder)


def _faulted(operation: Operation, folder: Path, at: int, code: int | None, expected: Any, change: Callable[[], object]) -> str:
    """One fault, then the same again without it; in a word how the first ended."""
    count, before = Shared(), None if operation.earlier is None else operation.seen(folder)

    def fail(step: str, path: Path) -> None:
        if count.next() == at + 1:
            if code is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(code, os.strerror(code), str(path))

    status = _child(lambda: _with(fail, operation, folder, change))
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".tmp-"):
            kills._refuse_partial(path)
    if before is not None:
        _refuse_lost(operation, folder, before, expected)
    if status not in (0, 2, -signal.SIGKILL):
        raise Broken(f"it ended with status {status}, as no documented error does")
    if status == 0 and operation.seen(folder) != expected:
        raise Broken("it ended well and is not what it should be")
    again = _child(lambda: _with(lambda step, path: None, operation, folder, change))
    if again != 0 or operation.seen(folder) != expected:
        raise Broken(f"once more, undisturbed, it ended with status {again}, or is not what it should be")
    return {0: "survived", 2: "told"}.get(status, "killed")


def _refuse_lost(operation: Operation, folder: Path, before: dict[str, str], expected: dict[str, str]) -> None:
    """Of all that an earlier result held, the old or the new is there, whole."""
    try:
        now = operation.seen(folder)
    except SpikequantError as error:
        raise Broken(f"the earlier result is lost: {error}".replace(f"{folder}/", "")) from None
    if lost := [name for name, digest in before.items() if now.get(name) not in (digest, expected.get(name))]:
        raise Broken(f"neither the old nor the new is there of {', '.join(lost)}")


def _with(watcher: Callable[[Any, Path], object], operation: Operation, folder: Path, change: Callable[[], object]) -> None:
    small_study._fork_workers()
    change()
    with files.watched(watcher):
        operation.work(folder)


class Shared:
    """A number that forked processes count up together."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        """Its value now."""
        return int(struct.unpack("q", self.memory[:8])[0])

    def next(self) -> int:
        """One more; the new value."""
        self.memory[:8] = struct.pack("q", self.value + 1)
        return self.value


def _child(work: Callable[[], object]) -> int:
    """Do the work in a forked child: 0, or 2 for a documented error, or 1 for any other, or the signal that ended it."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        os.setpgid(0, 0)
        work()
        status = 0
    except SpikequantError:
        status = 2
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(status)
