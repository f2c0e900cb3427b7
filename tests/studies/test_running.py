import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from spikequant.errors import MismatchError, SpecError, SpikequantError
from spikequant.studies import lock
from spikequant.studies.coordinator import RunOptions
from spikequant.studies.events import Began, StudyEnded
from spikequant.studies.job import hashes
from spikequant.studies.planning import plan
from spikequant.studies.running import run, states
from spikequant.studies.store import Store

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def finished(study: str, out: Path, **options: Any) -> tuple[list[str], Rows]:
    """The trials that were begun, and all trials at the end."""
    events = list(run(plan(study), RunOptions(out, **options)))
    assert isinstance(events[-1], StudyEnded)
    return [event.name for event in events if isinstance(event, Began)], [*events[-1].trials]


def command(study: str, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "spikequant", "run", study, "--out", str(out), "--workers", "2", "--json", *more]


def test_a_study_runs_once_and_its_folder_can_be_checked(write_study: Callable[..., str], tmp_path: Path) -> None:
    began, rows = finished(write_study(), tmp_path / "out")
    assert began == ["float/s0", "ptq/s0"]
    assert [row["state"] for row in rows] == ["done", "done"]
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=False).returncode == 0
    assert finished(write_study(), tmp_path / "out") == ([], rows)
    with pytest.raises(MismatchError, match="epochs is 1 in the file and 2 here"):
        finished(write_study(**{"epochs = 1": "epochs = 2"}), tmp_path / "out")
    damaged = next((tmp_path / "out" / "trials").glob("ptq*")) / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert finished(write_study(), tmp_path / "out") == (["ptq/s0"], rows)


def test_text_records_make_trials_done_and_networks_are_made_again_only_where_needed(
    write_study: Callable[..., str], tmp_path: Path
) -> None:
    _, rows = finished(write_study(), tmp_path / "out", results=tmp_path / "texts")
    assert len(list((tmp_path / "texts" / "tiny").iterdir())) == 2
    assert finished(write_study(), tmp_path / "other", results=tmp_path / "texts") == ([], rows)
    (tmp_path / "texts").rename(tmp_path / "results")
    afresh = states(plan(write_study()), RunOptions(tmp_path / "fourth", results=tmp_path / "empty"))
    assert set(afresh.values()) == {"new"}
    assert finished(write_study(), tmp_path / "third") == ([], rows)
    assert set(states(plan(write_study()), RunOptions(tmp_path / "fourth")).values()) == {"done"}
    next(path for path in (tmp_path / "results" / "tiny").iterdir() if '"ptq/s0"' in path.read_text()).unlink()
    assert finished(write_study(), tmp_path / "fourth") == (["float/s0", "ptq/s0"], rows)


def test_failures_are_states_with_reasons_and_others_go_on(write_study: Callable[..., str], tmp_path: Path) -> None:
    study = write_study(
        **{
            '[[trials]]\nname = "ptq"': '[[trials]]\nname = "wild"\ntraining = { lr = 1000.0, optimizer = "sgd", weight_decay = 1e30 }\n'
            '[[trials]]\nname = "ptq"'
        }
    )
    _, rows = finished(study, tmp_path / "out")
    assert [(row["name"], row["state"]) for row in rows] == [("float/s0", "done"), ("wild/s0", "diverged"), ("ptq/s0", "done")]
    assert "step" in rows[1]["reason"]
    began, again = finished(study, tmp_path / "out")
    assert (began, again) == ([], rows)


def test_one_run_holds_a_folder(write_study: Callable[..., str], tmp_path: Path) -> None:
    with lock.held(tmp_path / "out"), pytest.raises(SpikequantError, match="in use by process"):
        finished(write_study(), tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "told"), [({"join": True}, "--storage"), ({"storage": "mysql://x"}, "postgresql"), ({"storage": "sqlite:///x"}, "one run")]
)
def test_storages_that_cannot_be_shared_are_refused(
    write_study: Callable[..., str], tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        finished(write_study(), tmp_path / "out", **options)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_soon_and_the_same_command_goes_on(write_study: Callable[..., str], tmp_path: Path, times: int) -> None:
    """As a terminal does it: the signal goes to the workers, too."""
    study = write_study(**{"epochs = 1": "epochs = 80"})
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command(study, tmp_path / "out"), **pipes) as process:
        while not list((tmp_path / "out").glob("trials/*/checkpoint.safetensors")):
            time.sleep(0.05)
            assert process.poll() is None
        began = time.monotonic()
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)
        document = json.loads(process.communicate(timeout=30)[0])
    assert time.monotonic() - began < 15  # 5 s, and room for a busy machine
    assert process.returncode == 130
    assert [trial["state"] for trial in document["trials"]] == ["interrupted", "blocked"]
    _, rows = finished(study, tmp_path / "out")
    assert [row["state"] for row in rows] == ["done", "done"]


@pytest.mark.slow
def test_any_number_of_workers_and_kills_at_random_moments_give_the_same_rows(write_study: Callable[..., str], tmp_path: Path) -> None:
    """A smoke form of the campaign: nothing done is lost or repeated, and the end is that of a run that nobody killed."""
    study = write_study(
        **{'name = "float"': 'name = "float"\nseeds = [0, 1]', '[[trials]]\nname = "ptq"': '[[trials]]\nname = "ptq"\nseeds = [0, 1]'}
    )
    _, expected = finished(study, tmp_path / "whole", workers=1)
    moments = random.Random(0)
    code = None
    for _ in range(4):
        with subprocess.Popen(command(study, tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                code = process.wait(moments.uniform(2.0, 6.0))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
    _, rows = finished(study, tmp_path / "out", workers=2)
    assert rows == expected
    whole, killed = (tensors(tmp_path / name / "trials") for name in ("whole", "out"))
    assert whole == killed
    assert code in (None, 0)


SHARED = {
    'name = "float"': 'name = "float"\nseeds = [0, 1, 2]',
    '[[trials]]\nname = "ptq"': '[[trials]]\nname = "ptq"\nseeds = [0, 1, 2]',
    "epochs = 1": "epochs = 30",
}


def joined(study: str, out: Path, url: str) -> "subprocess.Popen[bytes]":
    words = ["--storage", url, "--join", "--grace-s", "4", "--workers", "1"]
    return subprocess.Popen([*command(study, out), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def running_at(url: str, study: str) -> int:
    """How many trials run, as the storage says."""
    store = Store(url.replace("postgresql", "postgresql+psycopg", 1), study, "maximize")
    try:
        return sum(row.state == TrialState.RUNNING for row in store.rows().values())
    finally:
        store.close()


@pytest.mark.services
def test_joiners_share_a_database_and_one_that_is_killed_loses_nothing(
    write_study: Callable[..., str], tmp_path: Path, postgres: str
) -> None:
    """Three on one PostgreSQL server, started as a scheduler would; the first of them, which enqueued the grid, is killed at work."""
    study = write_study(**SHARED)
    _, expected = finished(study, tmp_path / "whole", workers=2)
    runs = [joined(study, tmp_path / "out", postgres) for _ in range(3)]
    while running_at(postgres, "tiny") < 2:
        time.sleep(0.2)
    runs[0].kill()
    answers = [process.communicate(timeout=300) for process in runs]
    assert [process.returncode for process in runs] == [-9, 0, 0], answers
    documents = [json.loads(out) for out, _ in answers[1:]]
    assert [document["trials"] for document in documents] == [expected, expected]
    store = Store(postgres.replace("postgresql", "postgresql+psycopg", 1), "tiny", "maximize")
    done = [trial.user_attrs["key"] for trial in store.study.get_trials() if trial.state == TrialState.COMPLETE]
    store.close()
    assert sorted(done) == sorted(row["key"] for row in expected)  # none twice
    assert tensors(tmp_path / "whole" / "trials") == tensors(tmp_path / "out" / "trials")


@pytest.mark.services
def test_without_join_a_second_run_in_one_database_is_refused(write_study: Callable[..., str], tmp_path: Path, postgres: str) -> None:
    study = write_study(**{'name = "tiny"': 'name = "tiny2"', "epochs = 1": "epochs = 500"})
    process = joined(study, tmp_path / "out", postgres)
    while not running_at(postgres, "tiny2"):
        time.sleep(0.2)
    with pytest.raises(SpikequantError, match="--join"):
        finished(study, tmp_path / "out", storage=postgres)
    process.kill()
    process.communicate()


def tensors(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in hashes(folder).items() if name.endswith((".safetensors", ".json"))}
