import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from spikequant.errors import SpecError
from spikequant.studies.board import Board
from spikequant.studies.coordinator import Coordinator, RunOptions, read_texts, text_folder
from spikequant.studies.engine import Ended, Stepped
from spikequant.studies.events import Event, TrialEnded
from spikequant.studies.failures import Failure, Kind
from spikequant.studies.job import Job, Outcome
from spikequant.studies.planning import plan
from spikequant.studies.store import Row, Store, sqlite_url


class Recorded:
    """An engine that carries out nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.killed: list[int] = []

    def free(self) -> int:
        return 1

    def start(self, token: int, job: Job) -> None:
        self.jobs[token] = job

    def poll(self, seconds: float) -> Iterator[Stepped | Ended]:
        return iter(())

    def stop(self) -> None:
        pass

    def kill(self, token: int, why: Failure) -> None:
        self.killed.append(token)

    def close(self) -> None:
        pass


@pytest.fixture
def state(write_study: Callable[..., str], tmp_path: Path) -> Iterator[Coordinator]:
    tiny = plan(write_study(**{'objective = "accuracy"': "stop_after = 2\ntimeout_s = 0.5"}))
    store = Store(sqlite_url(tmp_path), "tiny", "maximize")
    made = Coordinator(tiny, RunOptions(tmp_path), store, Recorded(), Board({trial.key: trial for trial in tiny.trials}))
    made.begin()
    yield made
    store.close()


def end(state: Coordinator, outcome: Outcome) -> list[Event]:
    list(state.start_ready())
    return list(state.heard(Ended(next(iter(state.active)), outcome)))


def fail(state: Coordinator, kind: Kind) -> Event:
    return end(state, Outcome(failure=Failure(kind, "why")))[0]


DONE = Outcome({"accuracy": 0.75}, {"model": "a" * 64})


def test_what_is_needed_goes_first_and_a_done_trial_is_published(state: Coordinator, tmp_path: Path) -> None:
    assert end(state, DONE) == [TrialEnded("float/s0", "done", None, False)]
    assert len(list((tmp_path / "records").iterdir())) == 1
    list(state.start_ready())
    assert [active.trial.name for active in state.active.values()] == ["ptq/s0"]
    assert state.progress().best == ("float/s0", 0.75)
    assert not state.over()


def test_a_killed_trial_is_tried_again_and_a_diverged_one_is_not(state: Coordinator) -> None:
    assert fail(state, "killed") == TrialEnded("float/s0", "killed", "why", True)
    assert fail(state, "diverged") == TrialEnded("float/s0", "diverged", "why", False)
    assert state.over()
    assert [state.board.state(key) for key in state.board.trials] == ["diverged", "blocked"]


def test_retries_end(state: Coordinator) -> None:
    again = [event.again for _ in range(4) if isinstance(event := fail(state, "killed"), TrialEnded)]
    assert again == [True, True, True, False]


def test_many_failures_of_one_kind_stop_the_study(state: Coordinator) -> None:
    state.in_a_row = ["failed"]
    fail(state, "failed")
    assert state.stopped is not None
    assert "2 trials in a row ended as failed" in state.stopped
    assert not state.going_on


def test_a_full_disk_stops_the_run_and_is_no_fault_of_the_trial(state: Coordinator) -> None:
    fail(state, "unwritable")
    assert state.full is not None
    assert state.over()


def test_a_trial_must_measure_the_objective(state: Coordinator) -> None:
    event = end(state, Outcome({"emd": 0.5}))[0]
    assert isinstance(event, TrialEnded)
    assert "objective 'accuracy'" in (event.reason or "")


def test_late_trials_are_killed(state: Coordinator) -> None:
    list(state.start_ready())
    state.look()
    assert isinstance(state.engine, Recorded)
    assert state.engine.killed == []
    next(iter(state.active.values())).began -= 1
    state.look()
    assert state.engine.killed == [1]


def test_what_waits_for_the_lock_tells_that_it_lives_before_it_judges_others(state: Coordinator) -> None:
    order = list[str]()

    class Shared(Store):
        @contextlib.contextmanager
        def locked(self) -> Iterator[None]:
            order.append("lock")
            yield

        def beat(self, row: int) -> None:
            order.append("beat")

        def fail_orphans(self, rows: Mapping[str, Row]) -> None:
            order.append("judge")

    list(state.start_ready())
    state.store.__class__, state.store.exclusive = Shared, False
    state.keep_alive()
    assert order == ["beat", "lock", "beat", "judge"]


def test_text_records_are_found_in_the_working_directory_and_where_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_texts(RunOptions(tmp_path), "tiny") == {}
    assert text_folder(RunOptions(tmp_path), "tiny") == tmp_path / "records"
    assert text_folder(RunOptions(tmp_path, results=tmp_path / "r"), "tiny") == tmp_path / "r" / "tiny"


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"grace_s": 1}])
def test_a_run_that_would_never_end_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="must be at least"):
        RunOptions(tmp_path, **options)  # type: ignore[arg-type]


def test_workers_elsewhere_are_given_absolute_folders(state: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state.options = RunOptions(Path("out"))
    for key, trial in state.board.trials.items():
        assert Path(state.job(trial).folder) == tmp_path / "out" / "trials" / state.place(key).name
