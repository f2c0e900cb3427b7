"""The state of one run of a study, and each thing that a coordinator does with it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from spikequant.errors import SpecError, SpikequantError
from spikequant.studies import folder, records
from spikequant.studies.board import Board
from spikequant.studies.engine import Ended, Engine, Stepped
from spikequant.studies.events import Began, Event, Progress, StudyEnded, TrialEnded
from spikequant.studies.failures import RULES, Failure
from spikequant.studies.job import Job, Outcome, intact
from spikequant.studies.keys import RESULTS_VERSION
from spikequant.studies.planning import Plan, Trial
from spikequant.studies.records import Record
from spikequant.studies.store import GRACE_S, Store
from spikequant.studies.table import PROCEDURES


@dataclass(frozen=True)
class RunOptions:
    """How a study is run; none of this is part of a trial's key.

    ``storage``: URL of a PostgreSQL database, None for a file in ``out``. ``join``: others run the same study there. ``results``: folder
    of text records, to read and to write; None reads those of ``results`` in the working directory. ``workers``: trials at a time.
    ``grace_s``: with a shared storage, a trial without a heartbeat for so long is taken for abandoned. ``methods``: the user's own
    specs, ``package.module:Spec``, that workers import.

    Raises:
        SpecError: no worker, or a grace below 2 s.
    """

    out: Path
    workers: int = 1
    storage: str | None = None
    join: bool = False
    cluster: bool = False
    results: Path | None = None
    deterministic: bool = False
    grace_s: int = GRACE_S
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SpecError(f"workers {self.workers} must be at least 1 trial at a time")
        if self.grace_s < 2:
            raise SpecError(f"grace_s {self.grace_s} must be at least 2 s: trials are heard of four times in it")

    def texts(self, study: str) -> Path:
        """Where text records of done trials are looked for."""
        return (self.results or Path("results")) / study


@dataclass
class Active:
    """A trial that a worker is at."""

    trial: Trial
    row: int
    began: float
    step: int = 0
    total_steps: int | None = None


@dataclass
class Coordinator:
    """The state of one run of a plan."""

    plan: Plan
    options: RunOptions
    store: Store
    engine: Engine
    board: Board
    active: dict[int, Active] = field(default_factory=dict)
    tokens: Iterator[int] = field(default_factory=lambda: iter(range(1, 2**62)))
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_a_row: list[str] = field(default_factory=list)
    spoiled: set[int] = field(default_factory=set)
    checked: set[int] = field(default_factory=set)
    stopped: str | None = None
    full: SpikequantError | None = None
    provenance: dict[str, Any] = field(default_factory=folder.provenance)

    def refresh(self) -> None:
        """Read the storage anew."""
        rows = self.store.rows(self.spoiled)
        self.board.rows = {key: row for key, row in rows.items() if key in self.board.trials}

    def check_files(self) -> None:
        """Set aside the done trials whose files are not as they were left: they are not done."""
        while fresh := {key: row for key, row in self.board.rows.items() if row.record is not None and row.id not in self.checked}:
            self.checked |= {row.id for row in fresh.values()}
            self.spoiled |= {row.id for key, row in fresh.items() if row.record and not intact(self.place(key), row.record.hashes)}
            self.refresh()

    def place(self, key: str) -> Path:
        """The folder of a trial, by the path that every process and machine knows it by."""
        return folder.trial_folder(self.options.out, self.board.trials[key]).absolute()

    def enqueue(self, keys: list[str]) -> None:
        """Let these trials wait."""
        for key in keys:
            trial = self.board.trials[key]
            self.store.enqueue(key, trial.name, trial.tags)
        self.refresh()

    def begin(self) -> None:
        """Make good what another run left unfinished, and enqueue what is to be run; once, under the lock of the storage."""
        self.refresh()
        self.check_files()  # reads all that is done: who waits for the lock meanwhile cannot tell others that it lives
        with self.store.locked():
            self.store.fail_orphans(self.store.rows())
            self.refresh()
            self.check_files()
            self._refuse_company()
            folder.refuse_full(self.options.out, self._bytes_to_come())
            self.enqueue([key for key in self.board.to_enqueue() if not self.options.join or self._is_nobodys(key)])
        for key in self.board.trials:
            self.publish(key)

    def _bytes_to_come(self) -> int:
        trials = [self.board.trials[key] for key in self.board.wanted()]
        return sum(PROCEDURES[trial.procedure].weight_bytes(trial.setup) for trial in trials)

    def _refuse_company(self) -> None:
        if not self.options.join and any(row.state == TrialState.RUNNING for row in self.board.rows.values()):
            raise SpikequantError(
                "another run is at work on this study in that storage; add --join to help it, or wait until its trials count as abandoned"
            )

    def start_ready(self) -> Iterator[Event]:
        """Claim trials that may begin, as many as there are free workers."""
        for key in self.board.trials:
            if not self.engine.free():
                return
            row = self.board.rows.get(key)
            if row is None or not self.board.ready(key):
                continue
            folder.refuse_full(self.options.out)
            if self.store.claim(row.id):
                token = next(self.tokens)
                self.active[token] = Active(self.board.trials[key], row.id, time.monotonic())
                self.engine.start(token, self.job(self.board.trials[key]))
                yield Began(self.board.trials[key].name)
            self.refresh()

    def job(self, trial: Trial) -> Job:
        """A trial as a worker takes it."""
        return Job(
            key=trial.key,
            name=trial.name,
            procedure=trial.procedure,
            setup=trial.setup.fields(),
            threads=self.plan.study.threads,
            folder=str(self.place(trial.key)),
            reference=None if trial.reference is None else str(self.place(trial.reference)),
            twins=tuple(str(self.place(twin)) for twin in trial.twins),
            pairing=trial.pairing,
            deterministic=self.options.deterministic,
            methods=self.options.methods,
        )

    def heard(self, told: Stepped | Ended) -> Iterator[Event]:
        """Take in what a worker said."""
        if isinstance(told, Stepped):
            active = self.active[told.token]
            active.step, active.total_steps = told.step, told.total_steps
            return
        active = self.active.pop(told.token)
        outcome = self.objective_checked(told.outcome)
        if outcome.failure is None:
            self.tell(active, outcome)
            self.in_a_row.clear()
            yield TrialEnded(active.trial.name, "done", None, False)
        else:
            yield self.failed(active, outcome.failure)

    def objective_checked(self, outcome: Outcome) -> Outcome:
        """A trial that did not measure the objective did not end well."""
        objective = self.plan.study.objective
        if outcome.failure is not None or isinstance(outcome.measures.get(objective), int | float):
            return outcome
        return Outcome(failure=Failure("failed", f"it gave no value of the study's objective {objective!r}"))

    def tell(self, active: Active, outcome: Outcome) -> None:
        """A trial is done: its files are on disk, now its record is committed, then it counts."""
        trial = active.trial
        record = Record(
            results_version=RESULTS_VERSION,
            study=self.plan.study.name,
            key=trial.key,
            name=trial.name,
            tags=trial.tags,
            configuration=trial.configuration,
            data_sha256=trial.data_sha256,
            measures=outcome.measures,
            hashes=outcome.hashes,
            provenance=self.provenance | {"seconds": round(time.monotonic() - active.began, 3)},
        )
        value = outcome.measures[self.plan.study.objective]
        self.store.tell(active.row, record, float(value or 0.0))
        self.refresh()
        self.publish(trial.key)

    def publish(self, key: str) -> None:
        """Write the text record of a done trial, where it is not there yet."""
        record = self.board.record(key)
        if record is not None:
            records.write(text_folder(self.options, self.plan.study.name), record)

    def failed(self, active: Active, failure: Failure) -> TrialEnded:
        """Note a failure, and let the trial wait again where its rule says so."""
        trial = active.trial
        self.store.fail(active.row, failure)
        self.tries[trial.key, failure.kind] += 1
        if failure.kind == "unwritable":
            self.full = SpikequantError(f"{trial.name}: {failure.reason}")
        again = self.going_on and failure.kind != "interrupted" and self.tries[trial.key, failure.kind] <= RULES[failure.kind].retries
        if failure.kind != "interrupted" and not again:
            self.in_a_row = [*(kind for kind in self.in_a_row if kind == failure.kind), failure.kind]
        if len(self.in_a_row) >= self.plan.study.stop_after:
            self.stopped = f"{len(self.in_a_row)} trials in a row ended as {failure.kind}; the last: {failure.reason}"
        self.enqueue([trial.key] if again else [])
        return TrialEnded(trial.name, failure.kind, failure.reason, again)

    @property
    def going_on(self) -> bool:
        """Whether more trials may begin."""
        return self.stopped is None and self.full is None

    def abandon(self) -> None:
        """End at once: what was at work is interrupted."""
        self.engine.close()
        for active in self.active.values():
            self.store.fail(active.row, Failure("interrupted", "ended at once; the same command goes on"))
        self.active.clear()

    def look(self) -> None:
        """End trials that took longer than the study gives them; see what others did."""
        if not self.store.exclusive:
            self.refresh()
        limit = self.plan.study.timeout_s
        for token, active in self.active.items() if limit is not None else ():
            if limit is not None and time.monotonic() - active.began > limit:
                self.engine.kill(token, Failure("timed_out", f"it took longer than the {limit} s of the study's timeout_s"))

    def keep_alive(self) -> None:
        """Record the heartbeats of what is at work here, and take back what others no longer work on."""
        self._beat()
        if not self.store.exclusive and self.going_on:
            with self.store.locked():
                self._beat()  # the wait for the lock may have been longer than the grace
                self.store.fail_orphans(self.board.rows)
                self.refresh()
                self.enqueue([key for key in self.board.to_enqueue() if self._is_nobodys(key)])

    def _beat(self) -> None:
        for active in self.active.values():
            self.store.beat(active.row)

    def _is_nobodys(self, key: str) -> bool:
        """Whether a trial was never begun, or abandoned; how others' trials failed is for them to judge."""
        row = self.board.rows.get(key)
        return row is None or (row.failure is not None and row.failure.kind == "interrupted")

    def over(self) -> bool:
        """Whether nothing is at work here, and nothing can begin any more."""
        if self.active:
            return False
        if not self.going_on:
            return True
        wanted = self.board.wanted()
        states = {self.board.state(key) for key in wanted}
        elsewhere = not self.store.exclusive and any(
            row.state == TrialState.RUNNING for key, row in self.board.rows.items() if key in wanted
        )
        return not elsewhere and "waiting" not in states and not any(self.board.ready(key) for key in wanted)

    def progress(self) -> Progress:
        """How far the study is."""
        states = [self.board.state(key) for key in self.board.trials]
        return Progress(
            done=states.count("done"),
            failed=sum(state in RULES or state == "blocked" for state in states),
            total=len(states),
            running=tuple((active.trial.name, active.step, active.total_steps) for active in self.active.values()),
            best=self.best(),
        )

    def best(self) -> tuple[str, float] | None:
        """The done trial that is best by the objective."""
        study = self.plan.study
        found = [(key, record.measures.get(study.objective)) for key in self.board.trials if (record := self.board.record(key))]
        known = [(self.board.trials[key].name, float(value)) for key, value in found if value is not None]
        choose = max if study.direction == "maximize" else min
        return choose(known, key=lambda each: each[1]) if known else None

    def ended(self, interrupted: bool) -> StudyEnded:
        """The end, and the hashes of all that is done."""
        self.refresh()
        done = {key: record for key in self.board.trials if self.board.kept(key) and (record := self.board.rows[key].record)}
        folder.write_sums(self.options.out, self.plan.trials, done)
        return StudyEnded(tuple(self.board.told(trial.key) for trial in self.plan.trials), interrupted, self.stopped)


def text_folder(options: RunOptions, study: str) -> Path:
    """Where the text records of this run are written."""
    return options.out / "records" if options.results is None else options.results / study


def read_texts(options: RunOptions, study: str) -> Mapping[str, Record]:
    """The text records by which trials are known as done without having been run here."""
    return records.read_all([options.texts(study)])
