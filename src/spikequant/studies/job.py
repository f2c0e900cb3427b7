"""One trial as it is handed to a worker, and what comes back: plain values that travel between processes and machines."""

import contextlib
import hashlib
import io
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from spikequant import files
from spikequant.errors import FormatError
from spikequant.studies import lock
from spikequant.studies.failures import Failure, failure_of
from spikequant.studies.procedure import Bench, Measures
from spikequant.studies.resolve import resolve_method
from spikequant.studies.table import PROCEDURES
from spikequant.training import Epoch, Step

LOG = "log.txt"
LOG_LIMIT = 256 * 1024


@dataclass(frozen=True)
class Job:
    """A trial to carry out; ``setup`` as plain fields; ``methods`` are the user's own specs, imported before."""

    key: str
    name: str
    procedure: str
    setup: dict[str, Any]
    threads: int
    folder: str
    reference: str | None
    twins: tuple[str, ...]
    pairing: str | None
    deterministic: bool = False
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: measures and the hashes of its files, or a failure."""

    measures: Measures = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None


def prepare(threads: int, deterministic: bool) -> None:
    """Set this process up for trials; ``deterministic`` refuses every operation of torch that has no deterministic form."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def carry_out(job: Job, heard: Callable[[Step], None]) -> Outcome:
    """Carry out a trial; ``heard`` is told of every step, and may raise ``Interrupted`` there."""
    folder = Path(job.folder)
    log = io.StringIO()
    try:
        with lock.alone(files.folder(folder)):
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                measures = _worked(job, folder, heard, log)
            broken = [name for name, value in measures.items() if isinstance(value, float) and not torch.isfinite(torch.tensor(value))]
            if broken:
                return Outcome(failure=Failure("diverged", f"{broken[0]} is {measures[broken[0]]}, which is no measure"))
            _write_log(folder, log)
            return Outcome(measures, hashes(folder))
    except Exception as error:
        traceback.print_exc(file=log)
        with contextlib.suppress(Exception):  # the failure is what counts; a full disk has no room for its log
            _write_log(folder, log)
        return Outcome(failure=failure_of(error))


def _worked(job: Job, folder: Path, heard: Callable[[Step], None], log: io.StringIO) -> Measures:
    prepare(job.threads, job.deterministic)
    torch.manual_seed(int(job.key[:15], 16))
    for method in job.methods:
        resolve_method(method)
    procedure = PROCEDURES[job.procedure]
    reference = None if job.reference is None else Path(job.reference)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pairing: Any = job.pairing
    bench = Bench(folder, reference, tuple(map(Path, job.twins)), pairing, device)
    work = procedure.work(procedure.setup.read(job.setup), bench)
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            found: Measures = end.value
            return found
        if isinstance(event, Step):
            heard(event)
        elif isinstance(event, Epoch):
            held = "" if event.validation_accuracy is None else f", validation accuracy {event.validation_accuracy:.6f}"
            print(f"epoch {event.epoch}: loss {event.train_loss:.6f}{held}", file=log)


def _write_log(folder: Path, log: io.StringIO) -> None:
    files.write(folder / LOG, log.getvalue()[-LOG_LIMIT:])


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a trial's folder, by its path in there; temporary files and the log do not count.

    The log tells how a trial went, not what it found: after a kill it begins anew, and a task that outlives its coordinator on a
    cluster may still write it when the trial is done.

    Raises:
        FormatError: something there is no plain file.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".tmp-") or path.is_dir() or path == folder / LOG:
            continue
        if path.is_symlink() or not path.is_file():
            raise FormatError(f"{path} is no plain file; a trial's folder holds plain files only")
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def intact(folder: Path, wanted: dict[str, str]) -> bool:
    """Whether every file that a trial left is there and as it was left."""
    try:
        here = hashes(folder) if folder.is_dir() else {}
    except (OSError, FormatError):
        return False
    return bool(wanted) and all(here.get(name) == digest for name, digest in wanted.items())
