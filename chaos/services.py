"""The same kills where trials are shared through a real PostgreSQL server, or placed on a real Ray cluster."""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from chaos import kills, small_study
from chaos.kills import Broken, _children, outcome, uninterrupted
from chaos.small_study import kill_group, start

GRACE_S = 2
ON_RAY = """version = 1
name = "on-ray"
seeds = [0, 1, 2, 3, 4, 5, 6, 7]

[defaults]
procedure = "supervised"
data = "digits"
model = { name = "digits", args = { width = 2, time = 1 } }
batch_size = 512
training = { epochs = 1 }
measures = ["accuracy"]

[[trials]]
name = "float"
"""


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server of our own; it refuses root, so root hands it to another user."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        raise Broken("no PostgreSQL server is installed: apt install postgresql")
    place, port = Path(tempfile.mkdtemp(prefix="chaos-postgres-")), _port()
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(place, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def call(name: str, *words: str) -> None:
        subprocess.run([binaries[-1] / name, "-D", place / "data", *words], check=True, cwd="/", stdout=subprocess.DEVNULL, **as_user)

    try:
        call("initdb", "--auth=trust", "--username=ada", "--no-sync")
        call("pg_ctl", "start", "--wait", "-l", str(place / "server.log"), "-o", f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -F")
        try:
            yield f"postgresql://ada@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "--mode=immediate", "--wait")
    finally:
        shutil.rmtree(place)


def on_postgres(seed: int, wanted: int, seconds: float) -> Counter[str]:
    """Two runs that share a database; one of them, with its workers, or one worker is killed, and started again with ``--join``.

    Raises:
        Broken: a done trial is gone or done twice, a restart is not clean, or the end is not that of an undisturbed run.
    """
    random, total, began = Random(f"postgres-{seed}"), Counter[str](), time.monotonic()
    with postgres() as url, tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.chdir(root)
        study = small_study.write_study(root, kills.TRIALS)
        (root / "calm").mkdir()
        expected = uninterrupted(study, root / "calm")
        while total["kills"] < wanted and time.monotonic() - began < seconds:
            folder = root / str(total["lives"])
            folder.mkdir()
            study.write_text(
                re.sub(r'^name = "small.*"', f'name = "small{total["lives"]}"', study.read_text(), count=1, flags=re.MULTILINE)
            )
            total += _shared_life(study, folder, url, random)
            found = outcome(folder, folder / "out")
            if found != expected:
                raise Broken(f"life {total['lives']}: {kills._difference(found['sums'], expected['sums'])} is not the undisturbed run")
            total["lives"] += 1
    return total


def _shared_life(study: Path, folder: Path, url: str, random: Random) -> Counter[str]:
    counts, began = Counter[str](), time.monotonic()
    options: dict[str, Any] = {"storage": url, "join": True, "grace_s": GRACE_S}
    runs = {start(study, folder / "out", **options) for _ in range(2)}
    while runs:
        if time.monotonic() - began > kills.LONGEST_S:
            raise Broken(f"not done after {kills.LONGEST_S} s")
        time.sleep(random.uniform(0.0, 1.5))
        for pid in list(runs):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                runs.discard(pid)
                if os.waitstatus_to_exitcode(status) != 0:
                    raise Broken(f"a run ended with {status}: {(folder / 'out.log').read_text()[-600:]}")
        if not runs:
            break
        victim = random.choice(sorted(runs))
        workers = _children(victim)
        counts["kills"] += 1
        if random.random() < 0.4 and workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
            continue
        kill_group(victim)
        os.waitpid(victim, 0)
        runs.discard(victim)
        runs.add(start(study, folder / "out", **options))
        counts["restarts"] += 1
    return counts


@contextlib.contextmanager
def ray_cluster() -> Iterator[tuple[str, int]]:
    """The address of a cluster of two cores of our own, and its first process; only its own processes are ended."""
    port = _port()
    words = ["start", "--head", "--block", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", f"--port={port}"]
    with tempfile.NamedTemporaryFile("w+") as log:
        command = [Path(sys.executable).with_name("ray"), *words, "--node-ip-address=127.0.0.1"]
        head = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while "Ray runtime started" not in Path(log.name).read_text():
            if head.poll() is not None:
                raise Broken(f"no Ray cluster: {Path(log.name).read_text()[-600:]}")
            time.sleep(0.2)
        try:
            yield f"127.0.0.1:{port}", head.pid
        finally:
            head.terminate()
            head.wait(60)


def on_ray(seed: int, wanted: int, seconds: float) -> Counter[str]:
    """A study on a cluster; the coordinator or a process that carries a trial out is killed, and the same command given again.

    Raises:
        Broken: a restart is not clean, or the end is not that of an undisturbed run on this machine.
    """
    random, total, began = Random(f"ray-{seed}"), Counter[str](), time.monotonic()
    with ray_cluster() as (address, head), tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.chdir(root)
        (root / "study.toml").write_text(ON_RAY)
        expected = _rows(_spawned(root, "calm", {}))
        while total["kills"] < wanted and time.monotonic() - began < seconds:
            name, known, pace = str(total["lives"]), dict[str, dict[str, str]](), 1.0
            while True:
                process = _spawned(root, name, {"RAY_ADDRESS": address})
                total += _harassed(process, head, random, pace, (began + seconds, wanted - total["kills"]))
                before, known = known, kills.audit(root / name, known)
                pace = 1.0 if len(known) > len(before) else 1.3 * pace  # whatever the machine's speed, it gets somewhere
                if process.returncode == 0:
                    break
                if process.returncode not in (-signal.SIGKILL, 3):  # 3: a trial was killed more often than one command retries
                    raise Broken(f"a restart ended with {process.returncode}")
                total["restarts"] += 1
            if _rows(process) != expected:
                raise Broken("the final table is not that of an undisturbed run")
            total["lives"] += 1
    return total


def _spawned(root: Path, out: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "spikequant", "run", "study.toml", "--out", out, "--workers", "2", "--json"]
    words += ["--engine", "ray"] if environment else []
    with (root / "last.json").open("w") as told, (root / "last.log").open("a") as said:
        return subprocess.Popen(words, stdout=told, stderr=said, cwd=root, env={**os.environ, **environment})


def _rows(process: "subprocess.Popen[str]") -> Any:
    process.wait()
    return json.loads(Path("last.json").read_text())["trials"]


def _harassed(process: "subprocess.Popen[str]", head: int, random: Random, pace: float, enough: tuple[float, int]) -> Counter[str]:
    """Kill until the time is over or so many were killed; then let the run end."""
    counts, (end, wanted) = Counter[str](), enough
    until = time.monotonic() + pace * random.uniform(4.0, 40.0)
    while process.poll() is None:
        time.sleep(random.uniform(0.2, 1.0))
        if time.monotonic() > end or counts["kills"] >= wanted:
            process.wait()
            continue
        if time.monotonic() > until:
            process.kill()
            process.wait()
            counts.update(["kills", "of coordinator"])
        elif workers := _at_work(head):
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
                counts.update(["kills", "of worker"])
            time.sleep(pace * random.uniform(0.5, 5.0))
    return counts


def _at_work(head: int) -> list[int]:
    """The processes in which the cluster of this first process carries out trials now."""
    parents, titles = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(path.name)] = (path / "cmdline").read_bytes()
    found = []
    for pid in (pid for pid, title in titles.items() if title.startswith(b"ray::_task")):
        above = pid
        while above in parents and above != head:
            above = parents[above]
        if above == head:
            found.append(pid)
    return found


SCENES = {"postgresql": on_postgres, "ray": on_ray}


def campaign(name: str, seed: int, wanted: int, seconds: float, results: Path | None) -> Counter[str]:
    """One scene; its line is appended to the results."""
    began = time.monotonic()
    total = SCENES[name](seed, wanted, seconds)
    if not total["kills"] or not total["lives"]:
        raise Broken(f"{name}: nothing was killed, or nothing finished")
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
