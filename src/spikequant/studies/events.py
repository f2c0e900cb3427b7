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


Event = Began | Progress | TrialEnded | Said | StudyEnded
