"""What carries trials out: a number of slots, jobs in, outcomes out. Here the one for this machine: spawned processes."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from spikequant.studies.failures import Failure, Interrupted
from spikequant.studies.job import Job, Outcome, carry_out
from spikequant.surroundings import for_trials, surroundings
from spikequant.training import Step

STOP = "stop"
STEP_EVERY_S = 0.2


@dataclass(frozen=True)
class Stepped:
    """A trial took a step."""

    token: int
    step: int
    total_steps: int | None


@dataclass(frozen=True)
class Ended:
    """A trial ended."""

    token: int
    outcome: Outcome


class Engine(Protocol):
    """Where trials run; ``token`` names a job until it has ended."""

    def free(self) -> int:
        """How many more jobs it takes now."""

    def start(self, token: int, job: Job) -> None:
        """Begin a job."""

    def poll(self, seconds: float) -> Iterator[Stepped | Ended]:
        """What happened, waiting at most so long for something to happen."""

    def stop(self) -> None:
        """Ask every job to end at its next step."""

    def kill(self, token: int, why: Failure) -> None:
        """End a job at once; its outcome is this failure."""

    def close(self) -> None:
        """End everything."""


class Worker:
    """A spawned process that carries out one job after another; torch is loaded once."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        with surroundings(for_trials(threads)):
            self.process = context.Process(target=serve, args=(theirs,), daemon=True)
            self.process.start()
        theirs.close()
        self.token: int | None = None
        self.why: Failure | None = None

    def lost(self) -> Failure:
        """Why the process is gone."""
        self.process.join(10)
        return self.why or Failure("killed", f"its worker ended with {_ending(self.process.exitcode)}")

    def end(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join(10)
        self.connection.close()


def _ending(code: int | None) -> str:
    """How a process ended, by its exit code, and what that means.

    >>> _ending(-9), _ending(-11)
    ('SIGKILL; out of memory, where nobody killed it', 'SIGSEGV')
    """
    if code is not None and code < 0:
        meant = "; out of memory, where nobody killed it" if code == -signal.SIGKILL else ""
        return signal.Signals(-code).name + meant
    return f"exit code {code}: see its traceback above; a script must call run below `if __name__ == '__main__':`"


class Processes:
    """Workers on this machine, started when first needed and again when one dies."""

    def __init__(self, workers: int, threads: int) -> None:
        self.threads = threads
        self.workers: list[Worker | None] = [None] * workers

    def free(self) -> int:
        """Workers without a job."""
        return sum(worker is None or worker.token is None for worker in self.workers)

    def start(self, token: int, job: Job) -> None:
        """Hand a job to an idle worker; one that died unnoticed is replaced."""
        index = next(index for index, worker in enumerate(self.workers) if worker is None or worker.token is None)
        worker = self.workers[index]
        if worker is None or not worker.process.is_alive():
            worker = self.workers[index] = Worker(self.threads)
        worker.token, worker.why = token, None
        with contextlib.suppress(OSError):  # it has just died: poll tells
            worker.connection.send(job)

    def poll(self, seconds: float) -> Iterator[Stepped | Ended]:
        """What the workers said since, and which of them died."""
        busy = {worker.connection: index for index, worker in enumerate(self.workers) if worker is not None and worker.token is not None}
        for connection in wait(list(busy), seconds) if busy else []:
            index = busy[connection]  # type: ignore[index]
            yield from self._said(index)

    def _said(self, index: int) -> Iterator[Stepped | Ended]:
        worker = self.workers[index]
        if worker is None or worker.token is None:
            return
        token = worker.token
        try:
            said: Any = worker.connection.recv()
        except (EOFError, OSError):
            failure = worker.lost()
            worker.end()
            self.workers[index] = None
            yield Ended(token, Outcome(failure=failure))
            return
        if isinstance(said, Outcome):
            worker.token = None
            yield Ended(token, said)
        else:
            yield Stepped(token, *said)

    def stop(self) -> None:
        """Every job ends at its next step."""
        for worker in self.workers:
            if worker is not None and worker.token is not None:
                with contextlib.suppress(OSError):
                    worker.connection.send(STOP)

    def kill(self, token: int, why: Failure) -> None:
        """Kill the worker of a job."""
        for worker in self.workers:
            if worker is not None and worker.token == token:
                worker.why = why
                worker.process.kill()

    def close(self) -> None:
        """Kill all workers; what they were at is not finished."""
        for worker in self.workers:
            if worker is not None:
                worker.end()
        self.workers = [None] * len(self.workers)


def serve(connection: Connection) -> None:
    """The life of a worker: jobs from the connection until it closes. Ctrl-C is the coordinator's; it dies with it, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            if isinstance(job, Job):
                connection.send(carry_out(job, _Reporter(connection)))


class _Reporter:
    """Tells the coordinator of a step now and then, and ends the trial when that asks for it."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.last = connection, float("-inf")

    def __call__(self, step: Step) -> None:
        if self.connection.poll() and self.connection.recv() == STOP:
            raise Interrupted
        now = time.monotonic()
        if now - self.last >= STEP_EVERY_S:
            self.last = now
            self.connection.send((step.step, step.total_steps))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
