import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikequant.studies.engine import Ended, Processes, Stepped, Worker
from spikequant.studies.failures import Failure
from spikequant.studies.job import Job

SETUP = {"data": "digits", "seed": 0, "model": {"name": "digits", "args": {"width": 2, "time": 1}}, "measures": ["accuracy"]}


def job(folder: Path, epochs: int = 1) -> Job:
    return Job("ab" * 32, "t", "supervised", SETUP | {"training": {"epochs": epochs}}, 1, str(folder), None, (), None)


@pytest.fixture
def engine() -> Iterator[Processes]:
    made = Processes(1, threads=1)
    yield made
    made.close()


def until_step(engine: Processes) -> None:
    while not any(isinstance(told, Stepped) for told in engine.poll(30)):
        pass


def until_end(engine: Processes) -> Ended:
    while True:
        for told in engine.poll(30):
            if isinstance(told, Ended):
                return told


def test_a_worker_carries_out_one_job_after_another_and_dies_when_told(engine: Processes, tmp_path: Path) -> None:
    assert engine.free() == 1
    engine.start(1, job(tmp_path / "a"))
    assert engine.free() == 0
    first = until_end(engine)
    assert (first.token, first.outcome.failure) == (1, None)
    worker = engine.workers[0]
    engine.start(2, job(tmp_path / "b"))
    assert until_end(engine).outcome == first.outcome
    assert engine.workers[0] is worker

    engine.start(3, job(tmp_path / "c", epochs=100_000))
    until_step(engine)
    engine.stop()
    stopped = until_end(engine).outcome.failure
    assert stopped is not None
    assert stopped.kind == "interrupted"

    engine.start(4, job(tmp_path / "d", epochs=100_000))
    until_step(engine)
    assert worker is not None
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    lost = until_end(engine).outcome.failure
    assert lost is not None
    assert (lost.kind, "SIGKILL" in lost.reason) == ("killed", True)

    engine.start(5, job(tmp_path / "e", epochs=100_000))
    until_step(engine)
    engine.kill(5, Failure("timed_out", "too long"))
    assert until_end(engine).outcome.failure == Failure("timed_out", "too long")


@pytest.mark.parametrize(
    ("code", "told"),
    [(-9, "SIGKILL; out of memory"), (-15, "SIGTERM$"), (1, "exit code 1: see its traceback above; a script must call run below")],
)
def test_how_a_worker_ended_says_what_that_means(engine: Processes, code: int, told: str) -> None:
    class Gone:
        exitcode = code

        def join(self, seconds: float) -> None:
            pass

    worker = Worker.__new__(Worker)
    worker.process, worker.why = Gone(), None  # type: ignore[assignment]
    assert re.search(told, worker.lost().reason)


def test_a_worker_has_surroundings_of_its_own(engine: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikequant.studies.engine.for_trials", lambda threads: {"SPIKEQUANT_THREADS": str(threads)})
    engine.start(1, job(tmp_path))
    worker = engine.workers[0]
    assert worker is not None
    until_end(engine)
    assert b"SPIKEQUANT_THREADS=1" in Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")


def test_closing_leaves_no_process(engine: Processes, tmp_path: Path) -> None:
    engine.start(1, job(tmp_path, epochs=100_000))
    worker = engine.workers[0]
    assert worker is not None
    pid = worker.process.pid or 0
    engine.close()
    time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
