"""Which trials are done, which may begin, and which never will: from storage, text records and files to one state each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState

from spikequant.studies.doubt import is_reading
from spikequant.studies.failures import RULES
from spikequant.studies.planning import Trial
from spikequant.studies.records import Record
from spikequant.studies.store import Row

STATES = {TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}


@dataclass
class Board:
    """The trials of a run. ``texts``: records found as text; ``rows``: what the storage says, but for trials whose files are damaged."""

    trials: Mapping[str, Trial]
    texts: Mapping[str, Record] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)

    def kept(self, key: str) -> bool:
        """Whether a trial is done with its files here."""
        row = self.rows.get(key)
        return row is not None and row.state == TrialState.COMPLETE and row.record is not None

    def record(self, key: str) -> Record | None:
        """The record of a done trial; a text record comes first, since it was published."""
        row = self.rows.get(key)
        return self.texts.get(key) or (row.record if row is not None and self.kept(key) else None)

    def state(self, key: str) -> str:
        """One word: done, running, waiting, new, blocked, or the kind of its failure."""
        row = self.rows.get(key)
        if self.record(key) is not None:
            return "done"
        if row is not None and row.state in STATES:
            return "blocked" if row.state == TrialState.WAITING and self._blocked(key) else STATES[row.state]
        if self._blocked(key):
            return "blocked"
        return row.failure.kind if row is not None and row.failure is not None else "new"

    def wanted(self) -> set[str]:
        """Keys of all trials to run: those that are not done, and those whose network they need and which is not here."""
        wanted = {key for key in self.trials if self.record(key) is None}
        waiting = list(wanted)
        while waiting:
            more = [need for need in self.trials[waiting.pop()].needs if need not in wanted and not self.kept(need)]
            wanted |= {*more}
            waiting += more
        return wanted

    def to_enqueue(self) -> list[str]:
        """Wanted trials that nobody waits for or works on, and which the rules let begin again."""
        wanted = self.wanted()
        return [key for key in self.trials if key in wanted and self._may_begin(self.rows.get(key))]

    def _may_begin(self, row: Row | None) -> bool:
        if row is None or row.state == TrialState.COMPLETE:  # complete and yet wanted: it has no record
            return True
        return row.failure is not None and RULES[row.failure.kind].next_command

    def ready(self, key: str) -> bool:
        """Whether a waiting trial may begin: all that it needs is here."""
        row = self.rows.get(key)
        return row is not None and row.state == TrialState.WAITING and all(self.kept(need) for need in self.trials[key].needs)

    def _blocked(self, key: str) -> bool:
        return any(self._lost(need) for need in self.trials[key].needs)

    def _lost(self, key: str) -> bool:
        row = self.rows.get(key)
        failed = row is not None and row.state == TrialState.FAIL
        return not self.kept(key) and (failed or self._blocked(key))

    def reason(self, key: str) -> str | None:
        """Why a trial is not done, in words."""
        row = self.rows.get(key)
        if self.state(key) == "blocked":
            names = [self.trials[need].name for need in self.trials[key].needs if self._lost(need)]
            return f"it needs {', '.join(names)}, which did not end well"
        return row.failure.reason if row is not None and row.failure is not None and self.state(key) != "done" else None

    def told(self, key: str) -> dict[str, Any]:
        """A trial as programs read it."""
        trial, record = self.trials[key], self.record(key)
        document: dict[str, Any] = {"key": key, "name": trial.name, "tags": list(trial.tags), "state": self.state(key)}
        reason = self.reason(key)
        document |= {"measures": {} if record is None else dict(record.measures)}
        document |= {"uncertain": True} if is_reading(trial.configuration) else {}
        return document if reason is None else document | {"reason": reason}
