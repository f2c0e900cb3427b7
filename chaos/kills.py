"""SIGKILLs at random moments of real small studies, each followed by an audit of the folder and by the same command again."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from chaos import small_study
from chaos.small_study import kill_group, start

TRIALS = 12
LONGEST_S = 300.0
SOON_S = 0.7


class Scene(NamedTuple):
    """What is killed: ``all`` processes of a run at once, its ``coordinator`` alone, or one ``worker``."""

    workers: int
    victims: tuple[str, ...]


SCENES = {
    "one worker": Scene(1, ("all", "worker")),
    "several workers": Scene(3, ("all", "worker", "worker")),
    "coordinator": Scene(2, ("coordinator",)),
}


class Broken(AssertionError):
    """An invariant does not hold."""


def audit(out: Path, known: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The done trials of a folder whose run was killed, by key with the hashes of their files; nothing is changed there.

    Raises:
        Broken: a done trial is gone, its files are not those of its record, or a file of a final name is not whole.
    """
    for path in [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".tmp-")]:
        _refuse_partial(path)
    done = {}
    for record in _records(out):
        done[record["key"]] = record["hashes"]
        folder = next((out / "trials").glob(f"*-{record['key'][:12]}"), None)
        for name, digest in record["hashes"].items():
            if folder is None or hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise Broken(f"{record['name']} is done and its file {name} is not the one of its record")
        if not record["hashes"]:
            raise Broken(f"{record['name']} is done without hashes")
    for key, hashes in known.items():
        if done.get(key) != hashes:
            raise Broken(f"the done trial {key[:12]} is gone, or another")
    return done


def _refuse_partial(path: Path) -> None:
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".toml" and not tomllib.loads(path.read_text()):
            raise ValueError("empty")
        elif path.suffix == ".safetensors":
            from spikequant import tensorfile

            tensorfile.header(path.read_bytes(), path.name)
    except ValueError as error:
        raise Broken(f"{path.name} has its final name and is not whole: {error}") from None
    except FileNotFoundError:
        pass


def _records(out: Path) -> Iterator[dict[str, Any]]:
    """The records of done trials, from a copy of the database, so that only the next run mends it."""
    if not (out / "study.db").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in out.glob("study.db*"):
            with suppress(FileNotFoundError):
                shutil.copy(path, folder)
        connection = sqlite3.connect(Path(folder) / "study.db")
        with suppress(sqlite3.OperationalError):  # killed before its tables were made
            if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise Broken("the database is damaged")
            asked = "SELECT value_json FROM trials JOIN trial_user_attributes USING (trial_id) WHERE state = 'COMPLETE' AND key = 'record'"
            yield from (json.loads(text) for (text,) in connection.execute(asked).fetchall())
        connection.close()


class Life(NamedTuple):
    """One study from its first start to its end."""

    kills: Counter[str]
    restarts: int
    done: int


def live(study: Path, folder: Path, scene: Scene, random: Random, expected: dict[str, Any], change: Callable[[], object]) -> Life:
    """Run a study to its end through kills, auditing after each.

    Raises:
        Broken: an invariant does not hold, a restart is not clean, or the end is not that of an uninterrupted run.
    """
    out, kills, known, restarts = folder / "out", Counter[str](), dict[str, dict[str, str]](), 0
    horizon = SOON_S
    began = time.monotonic()
    while True:
        if time.monotonic() - began > LONGEST_S:
            raise Broken(f"not done after {LONGEST_S} s and {kills.total()} kills")
        pid = start(study, out, change, workers=scene.workers)
        restarts += 1
        status = _harassed(pid, scene, random, kills, horizon)
        before, known = known, audit(out, known)
        horizon = SOON_S if len(known) > len(before) else 1.15 * horizon  # whatever the machine's speed, it gets somewhere
        if status == 0:
            break
        if status != -signal.SIGKILL:
            raise Broken(f"a restart was not clean (status {status}): {out.with_suffix('.log').read_text()[-600:]}")
    found = outcome(folder, out)
    for part in ("rows", "sums"):
        if found[part] != expected[part]:
            raise Broken(f"the final {part} are not those of an uninterrupted run: {_difference(found[part], expected[part])}")
    return Life(kills, restarts, len(known))


def _harassed(pid: int, scene: Scene, random: Random, kills: Counter[str], horizon: float) -> int:
    """Let a run go on until it ends by itself or is killed; its exit status."""
    while True:
        until = time.monotonic() + random.uniform(0.0, horizon)
        while time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                kill_group(pid)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        victim = random.choice(scene.victims)
        if victim == "worker":
            workers = _children(pid)
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    kills[victim] += 1
            continue
        if victim == "all":
            kill_group(pid)
        else:
            os.kill(pid, signal.SIGKILL)
        kills[victim] += 1
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def outcome(folder: Path, out: Path) -> dict[str, Any]:
    """The table that the last run told, and the bytes of every trial's files."""
    told = max(folder.glob("out.*.json"), key=lambda path: path.stat().st_mtime_ns)
    rows = json.loads(told.read_text())["rows"]
    whole = [path for path in sorted((out / "trials").rglob("*.*")) if not path.name.startswith(".tmp-")]
    sums = {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in whole}
    return {"rows": rows, "sums": sums}


def _difference(found: Any, expected: Any) -> list[Any]:
    pairs = (
        found.items() ^ expected.items()
        if isinstance(found, dict)
        else [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]]
    )
    return sorted(map(str, pairs))[:6]


def uninterrupted(study: Path, folder: Path) -> dict[str, Any]:
    """The outcome of a run that nobody disturbs."""
    pid = start(study, folder / "out")
    if os.waitpid(pid, 0)[1] != 0:
        raise Broken(f"the undisturbed run failed: {(folder / 'out.log').read_text()[-2000:]}")
    found = outcome(folder, folder / "out")
    if not found["sums"] or any(row["state"] != "done" for row in found["rows"]):
        raise Broken("the undisturbed run finished nothing")
    return found


def campaign(
    name: str, seed: int, wanted: int, seconds: float, results: Path | None, change: Callable[[], object] = lambda: None
) -> Counter[str]:
    """Lives of one scene until so many kills were dealt, or so much time has passed; each life is a line of the results.

    Raises:
        Broken: with the seed and the number of the life, so that it can be lived again.
    """
    random, total = Random(f"{name}-{seed}"), Counter[str]()
    began, life = time.monotonic(), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        root = Path(place)
        os.chdir(root)
        study = small_study.write_study(root, TRIALS)
        (root / "calm").mkdir()
        expected = uninterrupted(study, root / "calm")
        while total["kills"] < wanted and time.monotonic() - began < seconds:
            folder = root / str(life)
            folder.mkdir()
            try:
                lived = live(study, folder, SCENES[name], random, expected, change)
            except Broken as error:
                raise Broken(f"scene {name!r}, seed {seed}, life {life}: {error}") from None

            shutil.rmtree(folder)
            life += 1
            total.update(
                kills=lived.kills.total(),
                restarts=lived.restarts,
                done=lived.done,
                lives=1,
                **{f"of {key}": n for key, n in lived.kills.items()},
            )
    if not total["done"] or not total["kills"]:
        raise Broken(f"scene {name!r}: nothing was finished, or nothing killed")
    if results is not None:
        line = {
            "scene": name,
            "seed": seed,
            **total,
            "seconds": round(time.monotonic() - began, 1),
            "broken": 0,
            "at": time.strftime("%H:%M:%S"),
        }
        with (results / "kills.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    return total
