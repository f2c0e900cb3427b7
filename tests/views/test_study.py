import json
import re
import shutil
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from spikequant.errors import FormatError, SpecError
from spikequant.views.columns import variants
from spikequant.views.record import parse
from spikequant.views.report import html, write_report
from spikequant.views.study import documents, label
from spikequant.views.verdict import verdict

RESULTS = Path(__file__).parents[2] / "results" / "beyond-accuracy-digits"
FROZEN = RESULTS.with_name("stompp-digits")
WIDE = "uniform/wide/2bits"


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    (found,) = documents(RESULTS)
    return found


def test_every_trial_is_there_and_configurations_are_means_over_seeds(study: dict[str, Any]) -> None:
    assert len(study["trials"]) == 125
    assert study["float"]["seeds"] == 5
    assert len(study["variants"]) == 24
    wide = next(variant for variant in study["variants"] if variant["name"] == WIDE)
    found = [trial["measures"]["emd"] for trial in study["trials"] if trial["name"].startswith(f"{WIDE}/")]
    assert (wide["seeds"], len(found)) == (5, 5)
    assert wide["emd"] == pytest.approx(sum(found) / 5)
    assert wide["deviation"]["emd"] == pytest.approx((sum((value - sum(found) / 5) ** 2 for value in found) / 4) ** 0.5)
    assert (wide["weights"], wide["bits"], wide["state"], wide["scheme"]) == ("uniform [-10, 10]", 2, "float", "scratch")
    assert wide["pairing"] == "same"


def test_the_reference_and_every_measure_have_their_deviation_over_seeds(study: dict[str, Any]) -> None:
    accuracies = [trial["measures"]["accuracy"] for trial in study["trials"] if trial["name"].startswith("float/")]
    table = variants(parse(study))
    keys = [column.key for column in table.columns]
    float_, *others = [dict(zip(keys, row, strict=True)) for row in table.rows]
    assert (float_["seeds"], float_["accuracy_deviation"]) == (5, pytest.approx(stdev(accuracies)))
    for measure in ("accuracy", "emd", "mean_rate", "dead", "saturated"):
        assert keys[keys.index(measure) + 1] == f"{measure}_deviation"
        assert all(row[f"{measure}_deviation"] is not None for row in others)


def test_the_parts_of_the_memory_add_up_to_the_whole(study: dict[str, Any]) -> None:
    for variant in study["variants"]:
        assert variant["ledger"].keys() == {"weight_bits", "state_bits", "other_bits"}
        assert sum(variant["ledger"].values()) == pytest.approx(variant["memory_bits"])


def test_what_text_records_do_not_hold_is_said_and_not_shown(study: dict[str, Any]) -> None:
    page = html(parse(study))
    assert 'id="tradeoff"' in page
    assert 'id="rates"' not in page
    assert "Not in this record, and so not shown: firing rates per layer and channel" in page


def test_a_run_folder_gives_the_firing_of_its_trials(tmp_path: Path, untouched: dict[str, Any], study: dict[str, Any]) -> None:
    name = verdict(parse(study)).telling["A"].name
    shutil.copytree(RESULTS, tmp_path / "records")
    (tmp_path / "records" / "README.md").unlink()
    record = next(path for path in (tmp_path / "records").iterdir() if json.loads(path.read_bytes())["name"] == f"{name}/s0")
    trial = tmp_path / "trials" / f"any-{json.loads(record.read_bytes())['key'][:12]}"
    trial.mkdir(parents=True)
    (trial / "drift.json").write_text(json.dumps(untouched["variants"][0]["drift"]))
    (trial / "network.json").write_text(json.dumps({"ledger": {"weight_bits": 5}, "state_health": []}))
    (found,) = documents(tmp_path)
    assert [variant["name"] for variant in found["variants"] if variant["drift"]] == [name]
    assert [variant["ledger"] for variant in found["variants"] if variant["name"] == name] == [{"weight_bits": 5}]
    assert 'id="rates"' in html(parse(found))
    (trial / "drift.json").write_text("{")
    with pytest.raises(FormatError, match=r"drift\.json is not JSON"):
        documents(tmp_path)


def test_a_run_folder_shows_how_networks_froze(tmp_path: Path) -> None:
    record = next(path for path in FROZEN.glob("*.json") if json.loads(path.read_bytes())["name"] == "weights/stompp/s0")
    shutil.copytree(FROZEN, tmp_path / "records", ignore=shutil.ignore_patterns("README.md", "*.svg"))
    trial = tmp_path / "trials" / f"any-{json.loads(record.read_bytes())['key'][:12]}"
    trial.mkdir(parents=True)
    epochs = [
        {"epoch": n, "shares": {"conv1": n / 10}, "gradients": {"conv1": 0.5}, "accuracy": 0.5, "hard_accuracy": 0.25} for n in range(1, 11)
    ]
    (trial / "dynamics.json").write_text(
        json.dumps({str(epoch["epoch"]): epoch for epoch in sorted(epochs, key=lambda each: str(each["epoch"]))})
    )
    (found,) = documents(tmp_path)
    assert found["froze"] == {"weights/stompp": epochs}
    assert [found["schedules"]["weights/stompp"][name] for name in ("order", "tail")] == ["forward", 0.05]
    assert "windows end after 9.50 epochs" in html(parse(found))
    assert "How weights/stompp froze" in html(parse(found))
    (trial / "dynamics.json").write_text(json.dumps({"1": epochs[0] | {"shares": {"conv1": 2.0}}}))
    with pytest.raises(FormatError, match=r"damaged at froze\.weights/stompp\.0\.shares\.conv1"):
        parse(documents(tmp_path)[0])


def test_our_readings_of_papers_bear_their_mark_in_every_table(tmp_path: Path) -> None:
    (found, *_) = documents(RESULTS.with_name("baselines-digits"))
    assert "weights/spikefit" in {variant["name"] for variant in found["variants"]}  # as it is asked for
    page = write_report(found, tmp_path / "report.html").read_text()
    assert "<dt>?</dt><dd>After a name: our reading of a paper" in page
    marked = (("variants", "weights/spikefit ?"), ("trials", "weights/spikefit/s0 ?"))
    for name, row in (*marked, ("variants", "weights/lqnet"), ("trials", "float/s0")):
        assert f"\n| {row} |" in (tmp_path / "tables" / f"{name}.md").read_text()


def test_trials_without_a_reference_are_listed(tmp_path: Path, study: dict[str, Any]) -> None:
    for path in RESULTS.glob("*.json"):
        if json.loads(path.read_bytes())["name"].startswith("float/"):
            shutil.copy(path, tmp_path)
    (found,) = documents(tmp_path)
    assert (found["variants"], len(found["trials"])) == ([], 5)
    assert "5 trials: accuracy from" in html(parse(found))


def trials(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{16}\.json", path.name)]


@pytest.mark.parametrize(
    "folder", [path for path in sorted(RESULTS.parent.iterdir()) if path.is_dir() and trials(path)], ids=lambda path: path.name
)
def test_every_committed_study_becomes_records(folder: Path) -> None:
    assert sum(len(parse(document).trials) for document in documents(folder)) == len(trials(folder))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    for where in (r"\*", r"records/\*"):
        with pytest.raises(SpecError, match=rf"none of .*, and no record of a finished trial \({where}.json\);"):
            documents(tmp_path)
        (tmp_path / "records").mkdir(exist_ok=True)


def test_a_grid_has_a_name_without_its_bits() -> None:
    assert label({"kind": "lqnet", "bits": 2, "clip": 10.0}) == "LQ-Net clip 10.0"
    assert label({"kind": "own"}) == "own"
