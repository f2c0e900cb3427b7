import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spikequant.errors import FormatError, MismatchError, SpikequantError
from spikequant.studies import folder
from spikequant.studies.planning import Trial, plan
from spikequant.studies.records import Record


def test_the_folder_explains_itself(write_study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["spikequant", "--storage", "postgresql://ada:secret@db/x"])
    tiny = plan(write_study())
    folder.describe(out, tiny, {"workers": 2})
    about = json.loads((out / "run.json").read_text())
    assert about["study"] == "tiny"
    assert {"torch", "commit", "platform", "cores", "argv", "seeds"} <= about.keys()
    assert about["argv"] == ["spikequant", "--storage", "postgresql://ada:***@db/x"]
    assert (out / "study.toml").read_text() == tiny.text
    assert folder.read_configuration(out).keys() == {"float/s0", "ptq/s0"}


def test_a_changed_trial_is_refused_with_the_difference_and_a_new_one_is_not(write_study: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder.describe(out, plan(write_study()), {})
    folder.refuse_changed(out, plan(write_study(**{'name = "float"': 'name = "float"\nseeds = [0, 1]'})).trials, [])
    with pytest.raises(MismatchError, match=r"ptq/s0: setup\.recipe\.weights\.bits is 2 in the file and 3 here"):
        folder.refuse_changed(out, plan(write_study(**{"bits = 2": "bits = 3"})).trials, [])


def test_deterministic_trials_are_others_than_those_on_record(write_study: Callable[..., str], tmp_path: Path) -> None:
    plain, deterministic = plan(write_study()), plan(write_study(), deterministic=True)
    recorded = [record_of(trial) for trial in plain.trials]
    folder.refuse_changed(tmp_path, deterministic.trials, recorded)
    folder.refuse_changed(tmp_path, plain.trials, [*recorded, *map(record_of, deterministic.trials)])
    folder.describe(tmp_path, plain, {})
    with pytest.raises(MismatchError, match=r"float/s0: deterministic is absent in the file and True here"):
        folder.refuse_changed(tmp_path, deterministic.trials, recorded)
    with pytest.raises(MismatchError, match=r"bits is 2 in the file and 3 here"):
        folder.refuse_changed(tmp_path / "other", plan(write_study(**{"bits = 2": "bits = 3"})).trials, recorded)


def record_of(trial: Trial) -> Record:
    return Record(
        results_version=1, study="tiny", key=trial.key, name=trial.name, tags=trial.tags, configuration=trial.configuration,
        data_sha256=trial.data_sha256, measures={}, hashes={},
    )  # fmt: skip


def test_damage_is_refused(tmp_path: Path) -> None:
    (tmp_path / folder.CONFIGURATION).write_text("{")
    with pytest.raises(FormatError, match="is damaged"):
        folder.read_configuration(tmp_path)


def test_a_full_disk_is_told_before(tmp_path: Path) -> None:
    folder.refuse_full(tmp_path / "absent")
    with pytest.raises(SpikequantError, match="bytes free"):
        folder.refuse_full(tmp_path / "absent", needed=2**62)


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    kept = {tmp_path / name for name in ("trials/a/model", "trials/a/.tmp-mine", ".tmp-notes", "mine/.tmp-1-0123abcd-notes")}
    halves = {tmp_path / f"{name}.tmp-1-0123abcd-model" for name in ("", "records/", "tables/", "trials/a/", "trials/a/b/")}
    for path in kept | halves:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder.sweep(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept
