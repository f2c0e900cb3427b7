import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spikequant.studies.cluster import _task
from spikequant.studies.coordinator import RunOptions
from spikequant.studies.events import StudyEnded
from spikequant.studies.job import Job
from spikequant.studies.planning import plan
from spikequant.studies.running import run

RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Ray cluster on this machine, of two workers; only its own processes are ended."""
    if not RAY.exists():
        pytest.skip("Ray is not installed: pip install 'spikequant[cluster]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["start", "--head", "--block", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", f"--port={port}"]
    log = tmp_path_factory.mktemp("ray") / "log.txt"
    with log.open("wb") as told:
        head = subprocess.Popen([RAY, *words, "--node-ip-address=127.0.0.1"], stdout=told, stderr=told, start_new_session=True)
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    head.terminate()
    head.wait(60)


def workers() -> list[int]:
    """The processes in which Ray carries out trials now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:  # it has ended
            continue
        if re.match(rb"ray::_task", title):
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


@pytest.mark.services
def test_a_study_on_a_cluster_survives_the_loss_of_a_worker_and_of_the_coordinator(
    write_study: Callable[..., str], tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.chdir(tmp_path)
    seeds = {'name = "float"': 'name = "float"\nseeds = [0, 1]', '[[trials]]\nname = "ptq"': '[[trials]]\nname = "ptq"\nseeds = [0, 1]'}
    study = write_study(**seeds, **{"epochs = 1": "epochs = 60"})
    out = tmp_path / "out"
    words = [sys.executable, "-m", "spikequant", "run", study, "--out", "out", "--engine", "ray", "--workers", "2", "--json"]

    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: list(out.glob("trials/float*/checkpoint.safetensors")), process)
        process.kill()
    before = set(workers())  # Ray ends those of a lost coordinator, in its own time

    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: set(workers()) - before, process)
        os.kill((set(workers()) - before).pop(), signal.SIGKILL)
        told, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert b"killed: its worker was lost" in said

    *_, end = run(plan(study), RunOptions(tmp_path / "here", workers=2))
    assert isinstance(end, StudyEnded)
    assert json.loads(told)["trials"] == [*end.trials]


def test_a_machine_that_does_not_see_the_run_folder_refuses_its_trial(tmp_path: Path) -> None:
    outcome = _task(Job("ab" * 32, "t", "supervised", {}, 1, str(tmp_path / "elsewhere"), None, (), None))
    assert outcome.failure is not None
    assert outcome.failure.kind == "failed"
    assert "every machine of the cluster needs the run folder under the same path" in outcome.failure.reason
    assert list(tmp_path.iterdir()) == []
