"""What a study tells while it runs."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Began:
    """A trial was handed to a worker."""

    name: str


@dataclass(frozen=True)
class Progress:
    """How far the study is.

    ``running``: name, steps done and all steps of each trial at work; ``best``: name and value of the best by the study's objective.
    """

    done: int
    failed: int
    total: int
    running: tuple[tuple[str, int, int | None], ...]
    best: tuple[str, float] | None


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended: its state, and why it is not done; ``again`` where it is tried once more."""

    name: str
    state: str
    reason: str | None
    again: bool


@dataclass(frozen=True)
class Said:
    """Something worth a line."""

    text: str


@dataclass(frozen=True)
class StudyEnded:
    """The end: every trial as programs read it. ``interrupted``: by a signal; ``stopped``: why no more trials were begun."""

    trials: tuple[dict[str, Any], ...]
    interrupted: bool
    stopped: str | None

    def __str__(self) -> str:
        """The trials as a table, fractions, and below it how many are done."""
        rows = [("accuracy", "emd", "state", "trial")]
        for trial in self.trials:
            accuracy, emd = (trial["measures"].get(name) for name in ("accuracy", "emd"))
            rows.append((_number(accuracy), _number(emd), trial["state"], trial["name"]))
        done = sum(trial["state"] == "done" for trial in self.trials)
        told = f"{done} of {len(self.trials)} trials done{'; interrupted' if self.interrupted else ''}"
        told += "" if self.stopped is None else f"; stopped: {self.stopped}"
        width = max(len(state) for _, _, state, _ in rows)
        return "\n".join([*(f"{a:>8}  {e:>6}  {state:<{width}}  {name}" for a, e, state, name in rows), told])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


Event = Began | Progress | TrialEnded | Said | StudyEnded
