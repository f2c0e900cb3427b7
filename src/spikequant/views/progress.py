"""What is going on, on standard error: a bar where a person watches, else a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from spikequant.views.wording import duration, percent, plain

EVERY = 10.0


@runtime_checkable
class Step(Protocol):
    """The event of one optimizer step, as ``training`` yields it."""

    loss: float
    step: int
    total_steps: int | None
    epoch: int
    examples_per_s: float


@runtime_checkable
class Epoch(Protocol):
    """The event of one whole epoch."""

    epoch: int
    train_loss: float
    validation_accuracy: float | None
    seconds: float


class Display(Protocol):
    """Where progress is drawn."""

    def advance(self, done: int, total: int | None, what: str, unit: str = "step") -> None:
        """Show how far the work is: how many of its units are done."""

    def line(self, text: str) -> None:
        """Add a line that stays."""


def say(text: str) -> None:
    """Print one line about what happens now."""
    print(plain(text), file=sys.stderr, flush=True)


def draw(events: Iterable[object], epochs: int) -> None:
    """Draw the events of a training until they end."""
    with display() as shown:
        for event in events:
            if isinstance(event, Step):
                what = f"epoch {event.epoch}/{epochs}  loss {event.loss:.4f}  {event.examples_per_s:.0f} images/s"
                shown.advance(event.step, event.total_steps, what)
            elif isinstance(event, Epoch):
                accuracy = "" if event.validation_accuracy is None else f", validation accuracy {percent(event.validation_accuracy)}"
                shown.line(f"epoch {event.epoch}/{epochs}: loss {event.train_loss:.4f}{accuracy}, {duration(event.seconds)}")


@contextmanager
def display() -> Iterator[Display]:
    """A bar on a terminal, lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    described = TextColumn("{task.description}", markup=False)
    with Progress(described, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=None)

        class Bar:
            def advance(self, done: int, total: int | None, what: str, unit: str = "step") -> None:
                progress.update(task, completed=done, total=total, description=what)

            def line(self, text: str) -> None:
                progress.console.print(plain(text), markup=False, highlight=False)

        yield Bar()


class Lines:
    """One line every ten seconds, with the time that remains."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None
        self.last = float("-inf")

    def advance(self, done: int, total: int | None, what: str, unit: str = "step") -> None:
        """Print how far the work is, unless that was said a moment ago."""
        now = time.monotonic()
        self.first = self.first or (now, done)
        if now - self.last < EVERY:
            return
        self.last = now
        began, before = self.first
        left = "" if total is None or done == before else f"  {duration((total - done) * (now - began) / (done - before))} left"
        say(f"{what}  {unit} {done}{'' if total is None else f'/{total}'}{left}")

    def line(self, text: str) -> None:
        """Print a line."""
        say(text)
