"""The trials of a study in Optuna's storage: enqueued, claimed, told. SQLite for one coordinator, PostgreSQL for many."""

import contextlib
import json
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from spikequant.errors import FormatError, SpikequantError
from spikequant.studies.failures import Failure
from spikequant.studies.records import Record, parse

GRACE_S = 45
LOCK_NUMBER = 0x5B1C_E0DE
RANK = {TrialState.COMPLETE: 3, TrialState.RUNNING: 2, TrialState.WAITING: 1}


class Synced(sqlite3.Connection):
    """A connection whose commits survive a loss of power, the removal of the journal included."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA synchronous=EXTRA")


class Row(NamedTuple):
    """The trial of the storage that speaks for a key: the last done one, else the last that runs, waits or failed."""

    id: int
    state: TrialState
    record: Record | None
    failure: Failure | None


class Store:
    """The storage of one study.

    Raises:
        FormatError: its file is damaged.
        SpikequantError: the storage cannot be opened.
    """

    def __init__(self, url: str, study: str, direction: Literal["maximize", "minimize"], grace_s: int = GRACE_S) -> None:
        self.exclusive = url.startswith("sqlite")
        self.ended: dict[int, Row] = {}
        options: dict[str, Any] = {"connect_args": {"factory": Synced, "timeout": 60}} if self.exclusive else {"pool_pre_ping": True}
        try:
            with contextlib.nullcontext() if self.exclusive else _alone(url):
                self._open(url, options, study, direction, grace_s)
        except ImportError:
            raise SpikequantError(f"{without_password(url)} needs a driver: pip install 'spikequant[cluster]'") from None
        except (SQLAlchemyError, RuntimeError) as error:
            _refuse_damaged(url, error)
            raise SpikequantError(f"cannot open the storage {without_password(url)}: {str(error).splitlines()[0]}") from error

    def _open(self, url: str, options: dict[str, Any], study: str, direction: Literal["maximize", "minimize"], grace_s: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.storage = RDBStorage(url, engine_kwargs=options, heartbeat_interval=grace_s, grace_period=grace_s)
        with _quiet():
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=study,
                direction=direction,
                sampler=optuna.samplers.RandomSampler(seed=0),
                load_if_exists=True,
            )

    def close(self) -> None:
        """Give all connections back."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def rows(self, spoiled: Set[int] = frozenset()) -> dict[str, Row]:
        """The trial that speaks for each key; those in ``spoiled`` speak for none."""
        best: dict[str, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            key = trial.user_attrs.get("key")
            if key is None or trial._trial_id in spoiled:
                continue
            if key not in best or RANK.get(trial.state, 0) >= RANK.get(best[key].state, 0):
                best[key] = trial
        return {key: self._row(trial) for key, trial in best.items()}

    def _row(self, trial: FrozenTrial) -> Row:
        """A trial as a row; one that has ended never changes, and is read once."""
        if trial._trial_id not in self.ended:
            row = _row(trial)
            if not trial.state.is_finished():
                return row
            self.ended[trial._trial_id] = row
        return self.ended[trial._trial_id]

    def enqueue(self, key: str, name: str, tags: tuple[str, ...]) -> None:
        """Let a trial wait to be claimed; written at once, so that none waits without its key."""
        attributes = {"key": key, "name": name, "tags": list(tags)}
        self.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs={"fixed_params": {}}))

    def claim(self, trial: int) -> bool:
        """Take a waiting trial; False where another was faster."""
        # The first heartbeat comes before the state: one that runs without any would never count as stale.
        try:
            self.storage.record_heartbeat(trial)
            return self.storage.set_trial_state_values(trial, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False

    def beat(self, trial: int) -> None:
        """Say that a trial is being worked on."""
        self.storage.record_heartbeat(trial)

    def tell(self, trial: int, record: Record, value: float) -> None:
        """A trial is done: its record, with the hashes of its files, is committed before its state.

        Where others took it for abandoned, it is theirs now, and nothing happens.
        """
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, measure in record.measures.items():
                self.storage.set_trial_user_attr(trial, name, measure)
            self.storage.set_trial_user_attr(trial, "record", record.fields())
            self.storage.set_trial_state_values(trial, TrialState.COMPLETE, [value])

    def fail(self, trial: int, failure: Failure) -> None:
        """A trial is not done, and why."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial, "failure", {"kind": failure.kind, "reason": failure.reason[:2000]})
            self.storage.set_trial_state_values(trial, TrialState.FAIL)

    def fail_orphans(self, key_rows: Mapping[str, Row]) -> None:
        """Fail what runs without a worker: under the lock of the run folder everything that runs, else what has no heartbeat."""
        if self.exclusive:
            for row in key_rows.values():
                if row.state == TrialState.RUNNING:
                    self.fail(row.id, Failure("interrupted", "the run ended while it was at work"))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self.study)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The lock under which trials are enqueued: of the database, and with SQLite that of the run folder, which is held already."""
        if self.exclusive:
            yield
            return
        with self.storage.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
            yield


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
    """One at a time: of many runs that a scheduler starts together on an empty database, each would make its tables."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
            yield
    finally:
        engine.dispose()


def sqlite_url(folder: Path) -> str:
    """The storage in a run folder."""
    return str(URL.create("sqlite", database=str(folder / "study.db")))


def without_password(url: str) -> str:
    """A storage's URL as it may be shown.

    >>> without_password("postgresql://ada:secret@db/studies")
    'postgresql://ada:***@db/studies'
    """
    masked = re.sub(r"([?&]\w*password=)[^&]*", r"\1***", url, flags=re.IGNORECASE)
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", masked)


def _row(trial: FrozenTrial) -> Row:
    document, failure = trial.user_attrs.get("record"), trial.user_attrs.get("failure")
    record = None if document is None else parse(json.loads(json.dumps(document)), f"trial {trial.number} of the storage")
    if trial.state == TrialState.FAIL and failure is None:
        failure = {"kind": "interrupted", "reason": "its worker was heard of no more"}
    return Row(trial._trial_id, trial.state, record, None if failure is None else Failure(failure["kind"], failure["reason"]))


@contextlib.contextmanager
def told_plainly(url: str) -> Iterator[None]:
    """Turn whatever the database says while it is used into one plain sentence.

    Raises:
        FormatError: its file is damaged.
        SpikequantError: it fails otherwise.
    """
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        _refuse_damaged(url, error)
        cause = str(error.__cause__ or error).splitlines()[0]
        raise SpikequantError(f"the storage {without_password(url)} failed: {cause}; the same command goes on") from error


def _refuse_damaged(url: str, error: BaseException) -> None:
    """Say what to do where the file of SQLite is damaged: of a full disk or a lock it tells by errors of other kinds."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if type(cause) is sqlite3.DatabaseError:
        remedy = "move it away, and the same command runs again what has no text record under --results; or choose another folder (--out)"
        raise FormatError(f"{make_url(url).database} is damaged: {cause}; {remedy}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of every study that it makes or finds."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
