import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spikequant.studies.events import Progress
from spikequant.views.main import app
from spikequant.views.progress import Lines
from spikequant.views.running import watch

STUDY = """
version = 1
name = "tiny"
defaults = { data = "digits", model = { name = "digits", args = { width = 2, time = 1 } }, batch_size = 512, measures = ["accuracy"] }
[[trials]]
name = "float"
procedure = "supervised"
training = { epochs = 1, lr = LR, optimizer = "sgd", weight_decay = DECAY }
"""
Invoke = Callable[..., Any]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)

    def call(*words: str, lr: str = "0.1", decay: str = "0.0") -> Any:
        Path("study.toml").write_text(STUDY.replace("LR", lr).replace("DECAY", decay))
        return CliRunner().invoke(app, ["run", "study.toml", *words])

    return call


def test_a_dry_run_prices_and_leaves_nothing(invoke: Invoke, tmp_path: Path) -> None:
    answer = invoke("--dry-run", "--json")
    document = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert document["price"]["trials"] == 1
    assert document["trials"][0]["price"]["seconds"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"study.toml"}
    assert "1 to run" in invoke("--dry-run").stdout


def test_a_run_answers_with_its_trials_and_writes_tables(invoke: Invoke) -> None:
    answer = invoke("--json")
    document = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert document["trials"][0]["state"] == "done"
    assert document["trials"][0].keys() == {"key", "name", "tags", "state", "measures"}
    table = Path("runs/tiny/tables/main.csv").read_text().splitlines()
    assert table[0] == "name,state,key,accuracy"
    assert table[1].endswith(str(document["trials"][0]["measures"]["accuracy"]))
    assert "1 of 1 trials done" in invoke().stdout


def test_records_kept_elsewhere_make_the_report_too(invoke: Invoke) -> None:
    for out in ("one", "two"):  # the second finds every trial done
        answer = invoke("--out", out, "--results", "kept")
        assert answer.exit_code == 0, answer.output
        assert Path(out, "report.html").exists()
        assert not Path(out, "records").exists()


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(0, 0, 2, (), None), "nothing at work  trial 0/2"),
        (Progress(0, 0, 9, (("a/s0", 41, 164), ("b/s0", 7, None)), None), "running a/s0 25.0%, b/s0 7  trial 0/9"),
        (
            Progress(3, 1, 9, tuple((f"t{i}", 1, 2) for i in range(5)), ("a/s0", 0.97)),
            "running t0 50.0%, t1 50.0%, t2 50.0% and 2 more; 1 failed; best 0.9700 (a/s0)  trial 3/9",
        ),
    ],
)
def test_progress_names_what_runs_and_how_far_it_is(progress: Progress, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    watch([progress], Lines())
    assert capsys.readouterr().err.splitlines() == [line]


def test_failed_trials_end_with_their_code_and_reason(invoke: Invoke) -> None:
    answer = invoke(lr="1000.0", decay="1e30")
    assert answer.exit_code == 3
    assert "float/s0: diverged: training diverged at step" in answer.stdout


def test_a_mistake_ends_with_2_and_leaves_nothing(invoke: Invoke, tmp_path: Path) -> None:
    answer = invoke(lr="-1.0")
    assert answer.exit_code == 2
    assert "study.toml:8: trials.training.lr" in answer.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"study.toml"}
