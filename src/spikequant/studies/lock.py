"""One run per run folder, one process per trial folder: locks of the operating system, which die with their holders."""

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from spikequant import files
from spikequant.errors import SpikequantError

PATIENCE_S = 60.0


@contextlib.contextmanager
def held(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a run folder; ``shared`` where a database keeps several runs apart.

    Raises:
        SpikequantError: another run holds it; the message names that run's process, host and start.
    """
    path = files.folder(folder) / "run.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SpikequantError(f"cannot open {path}: {error.strerror}; {files.ELSEWHERE}") from error
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpikequantError(f"{folder} is in use{_holder(path)}; wait for that run, or choose another folder") from None
        if not shared:
            _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        holder = json.loads(path.read_bytes()[:4096])
        return f" by process {int(holder['pid'])} on {holder['host']!s:.64} since {holder['since']!s:.32}"
    return ""


@contextlib.contextmanager
def alone(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Be the only process at work in a trial's folder; waits for one that outlives its coordinator, as tasks of a cluster may.

    It is the folder itself that is locked, so that nothing is left there. Where a file system has no such locks, nothing is held.

    Raises:
        SpikequantError: another process has been at work there all the while.
    """
    descriptor, until = os.open(folder, os.O_RDONLY), time.monotonic() + patience_s
    try:
        while not _taken(descriptor):
            if time.monotonic() > until:
                raise SpikequantError(
                    f"another process has been at work in {folder} for {patience_s:g} s; end it, or wait until it has ended"
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
