"""The run folder: what it says of itself, what it refuses, and the disk that it lies on."""

import contextlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from spikequant import __version__, files
from spikequant.errors import FormatError, MismatchError, SpikequantError
from spikequant.studies.commit import commit
from spikequant.studies.planning import Plan, Trial
from spikequant.studies.records import Record
from spikequant.studies.store import without_password
from spikequant.training.checkpoint import first_difference

CONFIGURATION = "configuration.json"
WRITTEN = ("*", "figures/*", "records/*", "tables/*", "trials/**/*")
TEMPORARY = re.compile(r"\.tmp-\d+-[0-9a-f]{8}-")  # as spikequant.files names them
SPARE = 64 * 2**20
DIFFERENCES = 5


def trial_folder(out: Path, trial: Trial) -> Path:
    """Where the files of a trial lie."""
    return out / "trials" / trial.folder


def refuse_changed(out: Path, trials: Iterable[Trial], records: Iterable[Record]) -> None:
    """Refuse to go on where a trial of the same name was configured otherwise.

    Deterministic trials are other trials than plain ones: records of the one kind do not stand in the way of the other.

    Raises:
        MismatchError: shows the first differences.
    """
    texts = {(record.name, record.configuration.get("deterministic")): record.configuration for record in records}
    held, told = read_configuration(out), []
    for trial in trials:
        before = held.get(trial.name) or texts.get((trial.name, trial.configuration.get("deterministic")))
        if before is not None and _plain(before) != _plain(trial.configuration):
            told.append(f"{trial.name}: {first_difference(_plain(before), _plain(trial.configuration))}")
    if told:
        more = f"\n... and {len(told) - DIFFERENCES} more" if len(told) > DIFFERENCES else ""
        remedy = "choose another folder (--out), another name for these trials, or remove what was found"
        raise MismatchError("the configuration has changed:\n" + "\n".join(told[:DIFFERENCES]) + more + f"\n{remedy}")


def _plain(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the keys of other trials: these change with what they name, which is told there."""
    return {name: value for name, value in configuration.items() if name not in ("reference", "twins")}


def read_configuration(out: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every trial that this folder was made for."""
    path = out / CONFIGURATION
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
        found: dict[str, dict[str, Any]] = document["trials"]
        return {str(name): dict(configuration) for name, configuration in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: {error}; remove it if the study is the same as before") from None


def describe(out: Path, plan: Plan, command: Mapping[str, Any]) -> None:
    """Write what the folder says of itself: the study, each trial's configuration, and how, where and by what it is run."""
    files.folder(out)
    trials = read_configuration(out) | {trial.name: trial.configuration for trial in plan.trials}
    files.write(out / "study.toml", plan.text)
    files.write(out / CONFIGURATION, json.dumps({"version": 1, "trials": trials}, indent=1, sort_keys=True) + "\n")
    about = {"version": 1, "study": plan.study.name, "seeds": sorted({trial.setup.seed for trial in plan.trials})}
    about |= {"command": dict(command), "argv": [without_password(word) for word in sys.argv], **provenance()}
    files.write(out / "run.json", json.dumps(about, indent=1) + "\n")


def provenance() -> dict[str, Any]:
    """By what and where this process computes."""
    return {
        "spikequant": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def sweep(out: Path) -> None:
    """Remove temporary files that a run left which was killed; only under the lock of the folder, and no file of anyone else's."""
    for path in (path for place in WRITTEN for path in out.glob(place) if TEMPORARY.match(path.name)):
        with contextlib.suppress(OSError):
            path.unlink()


def refuse_full(out: Path, needed: int = 0) -> None:
    """Refuse where the disk has too little room.

    Raises:
        SpikequantError: names the folder, what is free, and what is needed.
    """
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed + SPARE:
        raise SpikequantError(f"{out}: {free} bytes free, {needed + SPARE} needed; make room, or choose another folder")


def write_sums(out: Path, trials: Iterable[Trial], found: Mapping[str, Record]) -> None:
    """Write the hashes of all files of finished trials, as ``sha256sum --check`` reads them."""
    lines = []
    for trial in trials:
        record = found.get(trial.key)
        if record is not None and trial_folder(out, trial).is_dir():
            lines += [f"{digest}  trials/{trial.folder}/{name}" for name, digest in sorted(record.hashes.items())]
    files.write(out / "SHA256SUMS", "".join(f"{line}\n" for line in lines))
