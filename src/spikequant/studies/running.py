"""Run a study, or go on with it: lock, storage, engine, and the loop that keeps them busy until nothing is left."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from spikequant.errors import SpecError
from spikequant.studies import folder, lock, records
from spikequant.studies.board import Board
from spikequant.studies.coordinator import Coordinator, RunOptions, read_texts
from spikequant.studies.engine import Ended, Engine, Processes, Stepped
from spikequant.studies.events import Event, Said
from spikequant.studies.planning import Plan
from spikequant.studies.store import Store, sqlite_url, told_plainly, without_password

POLL_S = 0.2
LOOK_S = 1.0
BEAT_S = 10.0
STOPPING_S = 4.0


def run(plan: Plan, options: RunOptions) -> Iterator[Event]:
    """Run a study, or go on with it; yields what happens, last ``StudyEnded``.

    The first SIGINT or SIGTERM lets running trials end at their next step and marks them interrupted; the second ends at once.

    Raises:
        MismatchError: a trial of the same name was configured otherwise.
        SpikequantError: the folder is in use, cannot be written or is full, or the storage cannot be opened.
    """
    url = options.storage or sqlite_url(options.out)
    if options.join and options.storage is None:
        raise SpecError("join needs a storage that several runs can share; give --storage postgresql://...")
    if not url.startswith(("sqlite:///", "postgresql")):
        raise SpecError(f"storage {without_password(url)!r} must be postgresql://..., or left out for a file in the run folder")
    if options.storage is not None and url.startswith("sqlite"):
        raise SpecError("storage must be postgresql://...: an SQLite file serves one run, the one in the run folder")
    with lock.held(options.out, shared=options.storage is not None), told_plainly(url):
        yield from _locked(plan, options, url.replace("postgresql://", "postgresql+psycopg://", 1))


def _locked(plan: Plan, options: RunOptions, url: str) -> Iterator[Event]:
    if options.storage is None:
        folder.sweep(options.out)
    folder.refuse_full(options.out)
    texts = read_texts(options, plan.study.name)
    folder.refuse_changed(options.out, plan.trials, texts.values())
    command = {"workers": options.workers, "storage": None if options.storage is None else without_password(options.storage)}
    folder.describe(options.out, plan, command | {"join": options.join, "deterministic": options.deterministic})
    trials = {trial.key: trial for trial in plan.trials}
    store = Store(url, plan.study.name, plan.study.direction, options.grace_s)
    engine = _engine(plan, options)
    try:
        state = Coordinator(plan, options, store, engine, Board(trials, {key: texts[key] for key in texts if key in trials}))
        state.begin()
        yield from _loop(state)
    finally:
        engine.close()
        store.close()


def _engine(plan: Plan, options: RunOptions) -> Engine:
    if options.cluster:
        from spikequant.studies.cluster import Cluster  # loads Ray, an extra

        return Cluster(options.workers, plan.study.threads, plan.study.gpus)
    return Processes(options.workers, plan.study.threads)


def _loop(state: Coordinator) -> Iterator[Event]:
    pace = Pace(min(BEAT_S, state.options.grace_s / 4))
    with _signals() as asked:
        yield state.progress()
        while not (pace.stopping and not state.active) and not state.over():
            yield from _asked(state, pace, asked[0])
            for told in _polled(state):
                yield from state.heard(told)
                yield state.progress()
            if pace.beats():
                state.keep_alive()
            if pace.looks():
                state.look()
                yield state.progress()
            if not pace.stopping and state.going_on:
                yield from state.start_ready()
        if state.full is not None:
            raise state.full
        yield state.ended(bool(asked[0]))


class Pace:
    """What is due when."""

    def __init__(self, beat_s: float) -> None:
        self.beat_s = beat_s
        self.looked = self.beat = time.monotonic()
        self.stop_by: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether a signal asked to end."""
        return self.stop_by is not None

    @property
    def late(self) -> bool:
        """Whether trials took too long to end."""
        return self.stop_by is not None and time.monotonic() > self.stop_by

    def beats(self) -> bool:
        """Whether a heartbeat is due."""
        due = time.monotonic() - self.beat >= self.beat_s
        self.beat = time.monotonic() if due else self.beat
        return due

    def looks(self) -> bool:
        """Whether it is time to look around."""
        due = time.monotonic() - self.looked >= LOOK_S
        self.looked = time.monotonic() if due else self.looked
        return due


def _asked(state: Coordinator, pace: Pace, signals: int) -> Iterator[Event]:
    """The first signal lets trials end at their next step; the second, or a few seconds, ends them at once."""
    if signals and not pace.stopping:
        pace.stop_by = time.monotonic() + STOPPING_S
        state.engine.stop()
        yield Said("interrupted: trials end at their next step; once more to end at once")
    if signals > 1 or pace.late:
        state.abandon()


def _polled(state: Coordinator) -> list[Stepped | Ended]:
    if state.active:
        return list(state.engine.poll(POLL_S))
    if not state.store.exclusive:
        time.sleep(POLL_S)
    return []


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Count the signals that ask to end, instead of ending; only the main thread can."""
    asked = [0]

    def count(number: int, frame: FrameType | None) -> None:
        asked[0] += 1

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def states(plan: Plan, options: RunOptions) -> dict[str, str]:
    """Which trials of a plan are done, by the text records found; nothing is opened or written."""
    found = {**read_texts(options, plan.study.name), **records.read_all([options.out / "records"])}
    folder.refuse_changed(options.out, plan.trials, found.values())
    return {trial.key: "done" if trial.key in found else "new" for trial in plan.trials}
