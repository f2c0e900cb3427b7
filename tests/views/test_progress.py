import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from spikequant.views import progress
from spikequant.views.progress import Lines, draw, say


@dataclass(frozen=True)
class Step:
    loss: float
    step: int
    total_steps: int | None
    epoch: int
    examples_per_s: float


@dataclass(frozen=True)
class Epoch:
    epoch: int
    train_loss: float
    validation_accuracy: float | None
    seconds: float


EVENTS = [Step(2.3, 1, 2, 1, 100.0), Step(1.9, 2, 2, 1, 120.0), Epoch(1, 2.1, 0.875, 0.5), object()]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as a list of one that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_what_training_tells_and_leave_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    draw(EVENTS, epochs=1)
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "epoch 1/1  loss 2.3000  100 images/s  step 1/2",
        "epoch 1/1: loss 2.1000, validation accuracy 87.5%, 0.5 s",
    ]


def test_lines_come_every_ten_seconds_with_the_time_that_remains(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for clock[0], done in [(0.0, 1), (9.9, 50), (10.0, 51), (19.0, 99), (20.0, 76)]:
        lines.advance(done, 101, "epoch 1/1")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/1  step 1/101",
        "epoch 1/1  step 51/101  10.0 s left",
        "epoch 1/1  step 76/101  6.7 s left",
    ]


def test_a_loader_without_length_has_no_remaining_time(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for clock[0], done in [(0.0, 1), (10.0, 2)]:
        lines.advance(done, None, "epoch 1/1")
    assert capsys.readouterr().err.splitlines() == ["epoch 1/1  step 1", "epoch 1/1  step 2"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    draw(EVENTS, epochs=1)
    assert "120 images/s" in screen.getvalue()
    assert "2/2" in screen.getvalue()
    assert "━" in screen.getvalue()
    assert "validation accuracy 87.5%" in screen.getvalue()


def test_events_are_drawn_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def events() -> Iterator[object]:
        yield EVENTS[0]
        assert "step 1/2" in capsys.readouterr().err

    draw(events(), epochs=1)


def test_what_is_said_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\nc")
    assert capsys.readouterr().err == "a[2Jbc\n"
