"""Many inputs against one reader, in processes of bounded memory and time: what is refused, what is read, what must not be."""

import contextlib
import os
import pickle
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

MEMORY = 2**29  # bytes that an input may add
SECONDS = 2.0  # of processor time that an input may take
BATCH = 2000


@dataclass(frozen=True)
class Target:
    """A reader, its documented errors, and how to make malformed input for it.

    ``contained``: the reader runs in a process of its own in production, so that its crashes and its lack of end are its caller's
    documented errors; they are counted and not failures.
    """

    name: str
    make: Callable[[Random], Any]
    read: Callable[[Any], object]
    documented: tuple[type[BaseException], ...]
    contained: bool = False


@dataclass
class Outcome:
    """What became of the inputs: how many were refused or read, and which broke the rule, by their number."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest_s: float = 0.0
    memory: int = 0
    seconds: float = 0.0


class TookTooLong(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def run(target: Target, seed: int, start: int, count: int) -> Outcome:
    """Inputs ``start`` to ``start + count`` of a seed; input ``i`` is the same whatever ran before it."""
    outcome, began, at, end = Outcome(), time.monotonic(), start, start + count
    while at < end:
        at = _batch(target, seed, at, min(end, at + BATCH), outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def made(target: Target, seed: int, index: int) -> Any:
    """One input."""
    return target.make(Random(f"{target.name}-{seed}-{index}"))


def _batch(target: Target, seed: int, start: int, end: int, outcome: Outcome) -> int:
    """Inputs in one process; where it dies, the next begins after the input that did it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(target, seed, start, end, writing)
    os.close(writing)
    at = start
    with os.fdopen(reading, "rb") as stream, contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            said = pickle.load(stream)  # of our own child
            if isinstance(said, int):
                at = said
            else:
                outcome.counts += said.counts
                outcome.failures |= said.failures
                outcome.slowest_s = max(outcome.slowest_s, said.slowest_s)
                outcome.memory = max(outcome.memory, said.memory)
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return end
    outcome.counts["contained" if target.contained else "died"] += 1
    if not target.contained:
        outcome.failures[at] = f"ended its process, status {status}"
    return at + 1


def _child(target: Target, seed: int, start: int, end: int, writing: int) -> None:
    _confine(target.contained)
    outcome, before = Outcome(), _resident()
    try:
        for index in range(start, end):
            malformed = made(target, seed, index)
            os.write(writing, pickle.dumps(index))
            began = time.process_time()
            _one(target, index, malformed, outcome)
            outcome.slowest_s = max(outcome.slowest_s, time.process_time() - began)
            if target.contained:  # it may die at the next: what is known is said at once
                os.write(writing, pickle.dumps(outcome))
                outcome = Outcome()
        outcome.memory = max(0, _resident() - before)
        os.write(writing, pickle.dumps(outcome))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(9)


def _one(target: Target, index: int, malformed: Any, outcome: Outcome) -> None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS / 8 if target.contained else SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)  # ends the process: a loop in C hears of nothing else
    try:
        target.read(malformed)
        outcome.counts["read"] += 1
    except target.documented as error:
        outcome.counts["refused"] += 1
        if not str(error).strip():
            outcome.failures[index] = "refused without a word"
    except TookTooLong:
        outcome.counts["slow"] += 1
        outcome.failures[index] = f"took more than {SECONDS} s"
    except BaseException as error:
        outcome.counts["undocumented"] += 1
        last = traceback.extract_tb(error.__traceback__)[-1]
        outcome.failures[index] = f"{type(error).__name__}: {str(error)[:200]} ({last.filename.rpartition('/')[2]}:{last.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _confine(contained: bool) -> None:
    now = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL if contained else _too_long)


def _too_long(number: int, frame: Any) -> None:
    raise TookTooLong


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
