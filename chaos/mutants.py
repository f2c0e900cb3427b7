"""Does the campaign see what it is there to see? Each guard is taken away in the children, and each time the campaign must fail."""

import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from chaos import kills, small_study, steps
from chaos.kills import Broken
from spikequant import files, recipes
from spikequant.studies import coordinator, lock
from spikequant.studies.store import Store

Change = Callable[[], object]


def order(change: Change) -> None:
    """File synced, renamed, folder synced, and only then told: a loss of power at any moment loses no done trial."""
    with _place() as root:
        log = root / "order.jsonl"

        def watched() -> None:
            _record_order(log)
            change()

        study = small_study.write_study(root, 4)
        if os.waitpid(small_study.start(study, root / "out", watched), 0)[1] != 0:
            raise Broken(f"the run failed: {(root / 'out.log').read_text()[-600:]}")
        _refuse_disorder([json.loads(line) for line in log.read_text().splitlines()])


def _record_order(log: Path) -> None:
    """Note every sync, rename and tell of this process and those forked from it, in one file that all append to."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    fsync, replace, tell = os.fsync, Path.replace, Store.tell

    def note(*words: str) -> None:
        os.write(descriptor, json.dumps(words).encode() + b"\n")

    def noted_fsync(opened: int) -> None:
        fsync(opened)
        note("sync", str(Path(f"/proc/self/fd/{opened}").readlink()))

    def noted_replace(path: Path, target: Path) -> Path:
        note("rename", str(path), str(target))
        return replace(path, target)

    def noted_tell(store: Store, trial: int, record: Any, value: float) -> None:
        note("tell", f"-{record.key[:12]}/")
        tell(store, trial, record, value)

    os.fsync, Path.replace, Store.tell = noted_fsync, noted_replace, noted_tell  # type: ignore[assignment, method-assign]


def _refuse_disorder(log: list[list[str]]) -> None:
    told = [at for at, line in enumerate(log) if line[0] == "tell"]
    if not told:
        raise Broken("nothing was told")
    for at in told:
        renamed = [(when, line) for when, line in enumerate(log[:at]) if line[0] == "rename" and log[at][1] in line[2]]
        if not renamed:
            raise Broken("a trial was told whose files were never renamed to their names")
        for when, (_, source, target) in renamed:
            if ["sync", source] not in log[:when] or ["sync", str(Path(target).parent)] not in log[when:at]:
                raise Broken(f"{Path(target).name} was not synced before it was renamed, or its folder not before the trial was told")


def torn(change: Change) -> None:
    """A kill at every step of training: no final name holds unfinished bytes."""
    steps.campaign("train", None, change=change)


def lost(change: Change) -> None:
    """A fault at steps of training over an earlier network: the old or the new one is there."""
    steps.campaign("train again", None, every=3, change=change)


def double(change: Change) -> None:
    """Two starts on one folder: one runs, the other is told so."""
    with _place() as root:
        study = small_study.write_study(root, 4)
        runs = [small_study.start(study, root / "out", change) for _ in range(2)]
        codes = sorted(_exit_code(pid) for pid in runs)
        if codes != [0, 1] or "is in use by process" not in (root / "out.log").read_text():
            raise Broken(f"two starts on one folder ended with {codes}; must be one run, and one refusal that says why")


def _exit_code(pid: int, seconds: float = 60.0) -> int:
    """Of a run; one that takes longer is killed: without a lock two may wait for each other for ever."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    small_study.kill_group(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def damage(change: Change) -> None:
    """A bit flipped in a file of a done trial: the same command makes it good."""
    with _place() as root:
        study = small_study.write_study(root, 4)
        expected = kills.uninterrupted(study, root)
        victim = sorted((root / "out" / "trials").glob("*/model.safetensors"))[0]
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
        code = os.waitstatus_to_exitcode(os.waitpid(small_study.start(study, root / "out", change), 0)[1])
        if code != 0 or kills.outcome(root, root / "out") != expected:
            raise Broken(f"a damaged file of a done trial stayed (exit {code})")


def without_sync() -> None:
    """Nothing is synced any more."""
    files.os = SimpleNamespace(**{**vars(os), "fsync": lambda descriptor: None})  # type: ignore[assignment]


def without_rename() -> None:
    """Files are written in their place."""

    @contextlib.contextmanager
    def in_place(path: Path) -> Iterator[IO[bytes]]:
        path.unlink(missing_ok=True)
        with io.BufferedWriter(files._Raw(path)) as file:
            yield file

    files.replacing = in_place


def without_order() -> None:
    """A network takes the place of another tensors first, and what says which tensors they are after."""

    def in_turn(place: Path, tensors: bytes, text: str) -> None:
        files.write(place / recipes.store.TENSORS, tensors)
        files.write(place / recipes.store.MODEL, text)

    recipes.store._write = in_turn


def without_lock() -> None:
    """Nobody waits for anybody."""
    lock.held = lambda folder, shared=False: contextlib.nullcontext()  # type: ignore[assignment]


def without_hashes() -> None:
    """Files are taken for what they were."""
    coordinator.intact = lambda folder, wanted: True


MUTANTS: dict[str, tuple[Callable[[Change], None], Change]] = {
    "sync": (order, without_sync),
    "rename": (torn, without_rename),
    "order of a save": (lost, without_order),
    "lock": (double, without_lock),
    "hash check": (damage, without_hashes),
}


def check(name: str) -> str:
    """What the campaign says of one mutant; with the guard in place it must say nothing.

    Raises:
        Broken: the campaign fails with the guard, or does not without it.
    """
    scenario, change = MUTANTS[name]
    scenario(lambda: None)
    try:
        scenario(change)
    except Broken as error:
        return str(error)
    raise Broken(f"without the {name} the campaign does not fail")


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        os.chdir(place)
        yield Path(place)
        os.chdir("/")
