"""The engine that places trials on a Ray cluster, each with its cores and GPUs."""

import importlib
import logging
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikequant import files
from spikequant.errors import SpikequantError
from spikequant.studies.engine import Ended, Stepped
from spikequant.studies.failures import Failure
from spikequant.studies.job import Job, Outcome, carry_out
from spikequant.surroundings import for_trials
from spikequant.training import Step


class Cluster:
    """Trials as Ray tasks; Ray tries none of them again by itself, since the study has rules for that.

    Connects to the cluster of ``RAY_ADDRESS``, else to the one on this machine. Every machine has the same spikequant installed, and
    the run folder under the same path.

    Raises:
        SpikequantError: there is no cluster.
    """

    def __init__(self, workers: int, threads: int, gpus: float) -> None:
        self.ray = ray = _ray()
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SpikequantError(f"no Ray cluster answers: {error}; start one with 'ray start --head', or set RAY_ADDRESS") from error
        self.task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0, runtime_env={"env_vars": for_trials(threads)})(_task)
        self.workers = workers
        self.tasks: dict[Any, int] = {}
        self.whys: dict[int, Failure] = {}

    def free(self) -> int:
        """How many more tasks may be at work at a time; Ray lets those wait that the cluster has no room for."""
        return self.workers - len(self.tasks)

    def start(self, token: int, job: Job) -> None:
        """Hand a trial to the cluster."""
        files.folder(Path(job.folder))
        self.tasks[self.task.remote(job)] = token

    def poll(self, seconds: float) -> Iterator[Stepped | Ended]:
        """The tasks that ended."""
        if not self.tasks:
            return
        ended, _ = self.ray.wait(list(self.tasks), num_returns=1, timeout=seconds)
        for task in ended:
            token = self.tasks.pop(task)
            yield Ended(token, self._outcome(task, token))

    def _outcome(self, task: Any, token: int) -> Outcome:
        ray = self.ray
        try:
            outcome: Outcome = ray.get(task)
        except ray.exceptions.TaskCancelledError:
            return Outcome(failure=self.whys.pop(token, Failure("interrupted", "canceled; the same command goes on")))
        except ray.exceptions.OutOfMemoryError as error:
            return Outcome(failure=Failure("out_of_memory", str(error).splitlines()[0]))
        except ray.exceptions.RayError as error:
            return Outcome(failure=self.whys.pop(token, Failure("killed", f"its worker was lost: {type(error).__name__}")))
        return outcome

    def stop(self) -> None:
        """Interrupt all tasks."""
        for task in self.tasks:
            self.ray.cancel(task)

    def kill(self, token: int, why: Failure) -> None:
        """End a task with its worker."""
        for task, known in self.tasks.items():
            if known == token:
                self.whys[token] = why
                self.ray.cancel(task, force=True)

    def close(self) -> None:
        """End all tasks and leave the cluster."""
        for task in self.tasks:
            self.ray.cancel(task, force=True)
        self.tasks = {}
        self.ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise SpikequantError("--engine ray needs Ray, which is not installed: pip install 'spikequant[cluster]'") from None


def _task(job: Job) -> Outcome:
    if not Path(job.folder).is_dir():
        here = f"{job.folder} is not to be seen from {platform.node()}"
        return Outcome(failure=Failure("failed", f"{here}: every machine of the cluster needs the run folder under the same path"))
    return carry_out(job, _unheard)


def _unheard(step: Step) -> None:
    """Ray tells of no steps; its cancel interrupts wherever the trial is."""
