"""A study whose trials take milliseconds and train for real, and one uninterrupted or killed run of it in a forked child."""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import nn

from spikequant import files, tensorfile
from spikequant.studies import engine, running, table
from spikequant.studies.coordinator import RunOptions
from spikequant.studies.events import Began, StudyEnded
from spikequant.studies.planning import plan
from spikequant.studies.procedure import Bench, Procedure, Setup, Work
from spikequant.studies.store import Store, sqlite_url
from spikequant.training import Step

STUDY = """version = 1
name = "small"
objective = "fit"
seeds = [{seeds}]

[defaults]
procedure = "tiny"
data = "digits"
measures = ["fit"]

[[trials]]
name = "float"

[[trials]]
name = "tuned"
starts = "reference"
reference = "float"
"""


class Tiny(Setup):
    """A tiny trial."""

    starts: Literal["scratch", "reference"] = "scratch"


def train_tiny(setup: Tiny, bench: Bench) -> Work:
    """Twenty steps of Adam on a linear layer, from the trial's reference where it has one."""
    torch.manual_seed(setup.seed)
    layer, x, y = nn.Linear(16, 4), torch.randn(32, 16), torch.randint(4, (32,))
    if bench.reference is not None:
        layer.load_state_dict(tensorfile.read((bench.reference / "model.safetensors").read_bytes(), "reference")[0])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    loss = torch.zeros(())
    for step in range(20):
        loss = nn.functional.cross_entropy(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield Step(loss=0.0, step=step + 1, total_steps=20, epoch=1, examples_per_s=0.0)
    files.write(bench.folder / "model.safetensors", tensorfile.content_of(layer.state_dict()))
    return {"fit": -float(loss.detach())}


def _needs(setup: Tiny) -> frozenset[str]:
    return frozenset({"reference"}) if setup.starts == "reference" else frozenset()


def prepare() -> None:
    """Load all that a run needs, and compute nothing: children are forked from here."""
    torch.set_num_threads(1)
    table.PROCEDURES["tiny"] = Procedure(Tiny, train_tiny, lambda setup: None, _needs, lambda setup: 400)
    torch.optim.Adam([nn.Parameter(torch.empty(1))])
    with tempfile.TemporaryDirectory() as folder:
        Store(sqlite_url(Path(folder)), "warm", "maximize").close()


def write_study(folder: Path, trials: int) -> Path:
    """The study's file, for so many trials."""
    path = folder / "small.toml"
    path.write_text(STUDY.format(seeds=", ".join(map(str, range(trials // 2)))))
    return path


def start(study: Path, out: Path, change: Callable[[], object] = lambda: None, **options: Any) -> int:
    """Run the study in a child with a process group of its own; what it says of the end is written beside ``out``."""
    pid = os.fork()
    if pid:
        with suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    with suppress(OSError):
        os.setpgid(0, 0)
    try:
        os.dup2(os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        _fork_workers()
        change()
        _run(study, out, options)
        os._exit(0)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    os._exit(1)


def _run(study: Path, out: Path, options: dict[str, Any]) -> None:
    began = 0
    for event in running.run(plan(str(study)), RunOptions(out, **options)):
        began += isinstance(event, Began)
        if isinstance(event, StudyEnded):
            out.with_suffix(f".{os.getpid()}.json").write_text(json.dumps({"rows": event.trials, "began": began}))


def _fork_workers() -> None:
    """Workers forked from here instead of started anew: a start is what would take most of the campaign's time."""
    fork, serve = multiprocessing.get_context("fork"), engine.serve
    engine.multiprocessing = SimpleNamespace(get_context=lambda kind: fork, parent_process=multiprocessing.parent_process)  # type: ignore[assignment]

    def serve_forked(connection: Any) -> None:
        close_lock()  # a worker that is started anew has none of its parent's files
        serve(connection)

    engine.serve = serve_forked


def close_lock() -> None:
    """Close what this process was given of the lock of a run folder."""
    for place in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if place.readlink().name == "run.lock":
                os.close(int(place.name))


def kill_group(pid: int) -> None:
    """Kill a run with all its workers at once."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
