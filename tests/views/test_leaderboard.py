import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spikequant.studies.standings import Estimate, Standing
from spikequant.views.leaderboard import standings_table
from spikequant.views.main import app


def test_a_line_says_mean_interval_and_doubt() -> None:
    values = {"accuracy": Estimate(0.6, 0.5, 0.7), "emd": Estimate(0.25, None, None), "synaptic_operations": Estimate(5400.2, None, None)}
    table = standings_table(
        [Standing("weights/spikefit", 3, True, values), Standing("float", 1, False, {"accuracy": Estimate(0.9, None, None)})]
    )
    rows = table.cells()
    assert rows[0][:2] == ["weights/spikefit ?", "3"]
    assert rows[0][2].replace(" ", "").startswith("60")
    assert "±" in rows[0][2]
    assert rows[0][4] == "5400"
    assert rows[1][3:] == ["–", "–"]


def test_without_records_it_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["leaderboard", "digits-smoke"])
    assert answer.exit_code == 2
    assert "run it: spikequant run digits-smoke --results results" in answer.stderr


def test_a_study_that_is_none_is_not_to_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["leaderboard", "digits-smok"])
    assert answer.exit_code == 2
    assert "did you mean 'digits-smoke'" in answer.stderr
    assert "run it" not in answer.stderr


def test_committed_records_are_shown() -> None:
    answer = CliRunner().invoke(app, ["leaderboard", "--results", str(Path(__file__).parents[2] / "results"), "--out", "absent", "--json"])
    assert answer.exit_code == 0, answer.stderr
    methods = {each["method"]: each for each in json.loads(answer.stdout)["methods"]}
    assert methods["weights/spikefit"]["uncertain"]
    assert methods["weights/lsq"]["seeds"] == 3
