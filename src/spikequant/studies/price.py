"""What a study costs before it is run: a few steps of each kind of trial are measured, in a process of their own."""

import itertools
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikequant.studies.commit import TREE, of_tree
from spikequant.studies.job import prepare
from spikequant.studies.planning import Plan, Trial
from spikequant.studies.procedure import Bench
from spikequant.studies.table import PROCEDURES
from spikequant.surroundings import for_trials, surroundings
from spikequant.training import Event, Step

STEPS = 3
LIGHT = 32  # samples in a step that is only measured
COPIES = 4  # network, checkpoint with its two moments
KEPT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Price:
    """Of one trial: seconds of its training steps (or of all of it where it takes none), disk, and peak memory of a worker."""

    seconds: float
    disk_bytes: int
    memory_bytes: int


def prices(plan: Plan, keys: Iterable[str]) -> dict[str, Price]:
    """The price of each of these trials; trials that differ by seeds and values alone share one measurement."""
    wanted = set(keys)
    kinds: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        if trial.key in wanted:
            kinds.setdefault(kind_of(trial), []).append(trial)
    found = dict[str, Price]()
    if not kinds:
        return found
    with surroundings(for_trials(plan.study.threads)), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for trials in kinds.values():
            setup = trials[0].setup.fields()
            seconds, memory = pool.submit(measure, trials[0].procedure, _light(setup), plan.study.threads).result()
            disk = COPIES * PROCEDURES[trials[0].procedure].weight_bytes(trials[0].setup) + KEPT_BYTES
            found |= {trial.key: Price(seconds, disk, memory) for trial in trials}
    return found


def _light(setup: dict[str, Any]) -> dict[str, Any]:
    """The same trial in smaller batches and as many more steps: a step of a large network alone may take a minute."""
    return setup | {"batch_size": min(setup["batch_size"], LIGHT)} if "batch_size" in setup else setup


def kind_of(trial: Trial) -> str:
    """What decides how long a step takes: all but seeds and single numbers of recipe and training (epochs and switches count)."""
    return json.dumps([trial.procedure, _outline(trial.setup.fields() | {"seed": 0})], sort_keys=True)


def _outline(value: Any, place: Sequence[str] = ()) -> Any:
    if isinstance(value, dict):
        return {name: _outline(part, (*place, name)) for name, part in value.items()}
    loose = place[:1] in (("recipe",), ("training",)) and place[-1] not in ("kind", "epochs")
    return type(value).__name__ if loose and isinstance(value, int | float) and not isinstance(value, bool) else value


def measure(procedure: str, setup: dict[str, Any], threads: int) -> tuple[float, int]:
    """Seconds of a trial and the peak memory of this process, from its first steps."""
    prepare(threads, False)
    known = PROCEDURES[procedure]
    place = tempfile.mkdtemp(prefix="spikequant-price-")
    try:
        work = known.work(known.setup.read(setup), Bench(Path(place), rehearsal=True))
        seconds = _timed(event for event in work if isinstance(event, Step))
    finally:
        shutil.rmtree(place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak if sys.platform == "darwin" else 1024 * peak


def _timed(steps: Iterator[Event]) -> float:
    """Seconds of all steps, from the first ones; the very first one bears what is paid once."""
    began = time.perf_counter()
    times, total = list[float](), 0
    for step in itertools.islice(steps, STEPS + 1):
        times.append(time.perf_counter() - began)
        total = (step.total_steps or 0) if isinstance(step, Step) else 0
    if len(times) < 2:
        return time.perf_counter() - began
    each = (times[-1] - times[0]) / (len(times) - 1)
    return times[0] + each * max(0, total - 1)


def alone(plan: Plan, seconds: dict[str, float]) -> dict[str, float]:
    """What each of these trials would take by itself, with all that it needs: a study trains float networks once for all."""
    trials = {trial.key: trial for trial in plan.trials}

    def needed(key: str) -> set[str]:
        return {key}.union(*(needed(other) for other in trials[key].needs if other in seconds))

    return {key: sum(seconds[other] for other in needed(key)) for key in seconds}


def quoted(plan: Plan, states: dict[str, str], workers: int) -> dict[str, Any]:
    """The trials of a plan with their states and, where they are not done, their prices; and the sum."""
    absent = {trial.key for trial in plan.trials if trial.absent}
    found = prices(plan, [key for key, state in states.items() if state != "done" and key not in absent])
    trials = []
    for trial in plan.trials:
        key, state = (None, "data_absent") if trial.absent else (trial.key, states[trial.key])
        shown: dict[str, Any] = {"key": key, "name": trial.name, "tags": list(trial.tags), "state": state, "measures": {}}
        shown |= {"reason": trial.absent} if trial.absent else {}
        price = found.get(trial.key)
        trials.append(shown if price is None else shown | {"price": vars(price)})
    total = sum(price.seconds for price in found.values())
    return {
        "trials": trials,
        "price": {
            "trials": len(found),
            "seconds": total / min(workers, max(1, len(found))),
            "worker_seconds": total,
            "alone_seconds": sum(alone(plan, {key: price.seconds for key, price in found.items()}).values()),
            "workers": workers,
            "disk_bytes": sum(price.disk_bytes for price in found.values()),
            "memory_bytes": max((price.memory_bytes for price in found.values()), default=0),
            "from_tree": of_tree(TREE) is not None,
        },
    }
