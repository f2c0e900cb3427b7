import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spikequant.models import build
from spikequant.recipes import quantize, save
from spikequant.studies import resolve_recipe

WATCH = ("--data", "digits", "--batches", "2", "--batch-size", "64")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A fresh network and its 2-bit form, both saved."""
    network = build("digits", seed=1)
    save(network, tmp_path / "float")
    save(quantize(network, resolve_recipe("W(Q0.1)-N(FP32)")), tmp_path / "small")
    return tmp_path / "float", tmp_path / "small"


def test_compare_writes_record_report_and_tables_and_answers_with_the_record(
    run: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "drift"
    code, printed, _ = run("compare", *pair, *WATCH, "--out", out, "--json")
    document = json.loads(printed)
    assert code == 0
    assert json.loads((out / "drift.json").read_text()) == document
    assert document["report"] == str(out / "report.html")
    assert document["emd"] > 0
    assert [layer["name"] for layer in document["layers"]] == ["lif1", "lif2"]
    assert sorted(path.name for path in out.iterdir()) == ["drift.json", "figures", "report.html", "tables"]


def test_compare_prints_a_table_and_writes_nothing_unless_asked(run: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, _ = run("compare", *pair, *WATCH)
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["layer", "channels", "EMD"]
    assert out.splitlines()[3].startswith("network")
    assert "The firing of small differs from that of float by an EMD of" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float", "small"]


@pytest.mark.parametrize(("bound", "code", "word"), [("1.0", 0, "within"), ("0.0001", 1, "above")])
def test_a_bound_decides_the_exit_code(run: Callable[..., Any], pair: tuple[Path, Path], bound: str, code: int, word: str) -> None:
    answer = run("compare", *pair, *WATCH, "--max-emd", bound)
    assert answer.code == code
    assert f"is {word} the bound {float(bound)}" in answer.out
    (told,) = json.loads(run("compare", *pair, *WATCH, "--max-emd", bound, "--json").out)["bounds"]
    assert (told["measure"], told["at_most"], told["holds"]) == ("emd", float(bound), code == 0)


def test_a_network_does_not_drift_from_itself(run: Callable[..., Any], pair: tuple[Path, Path]) -> None:
    code, out, _ = run("compare", pair[0], pair[0], *WATCH, "--max-emd", "0", "--json")
    assert (code, json.loads(out)["emd"]) == (0, 0.0)


def test_the_report_shows_memory_by_its_parts_and_the_recipe(run: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path) -> None:
    told = json.loads(run("compare", *pair, *WATCH, "--out", tmp_path / "drift", "--json").out)["network"]
    assert sum(told["ledger"].values()) == told["memory_bits"]
    page = (tmp_path / "drift" / "report.html").read_text()
    assert "Memory by its parts" in page
    assert "Resolved configuration of" in page


def test_twins_give_the_training_floor(run: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path) -> None:
    save(build("digits", seed=2), tmp_path / "twin")
    code, out, _ = run("compare", *pair, *WATCH, "--twin", tmp_path / "twin", "--out", tmp_path / "drift", "--json")
    assert code == 0
    assert json.loads(out)["training_floor"]["pairs"] == 1
    assert "training floor" in (tmp_path / "drift" / "report.html").read_text()


def test_report_draws_a_record_again(run: Callable[..., Any], pair: tuple[Path, Path], tmp_path: Path) -> None:
    run("compare", *pair, *WATCH, "--out", tmp_path / "drift")
    first = (tmp_path / "drift" / "report.html").read_bytes()
    code, out, _ = run("report", tmp_path / "drift", "--json")
    assert code == 0
    assert json.loads(out)["report"] == str(tmp_path / "drift" / "report.html")
    assert (tmp_path / "drift" / "report.html").read_bytes() == first
    (tmp_path / "else").mkdir()
    assert run("report", tmp_path / "drift" / "drift.json", "--out", tmp_path / "else").out.endswith(
        f"{tmp_path / 'else' / 'report.html'}\n"
    )
    assert (tmp_path / "else" / "report.html").read_bytes() == first


@pytest.mark.slow
def test_demo_shows_variants_of_like_accuracy_whose_firing_differs(run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = run("demo", "--out", tmp_path / "demo", "--json")
    document = json.loads(out)
    keys = {"name", "weights", "state", "bits", "state_bits", "scheme", "accuracy", "emd", "emd_floor", "mean_rate", "dead", "saturated"}
    assert code == 0
    assert document["float"]["accuracy"] > 0.95
    assert len(document["variants"]) >= 16
    assert all(keys | {"memory_bits"} <= variant.keys() for variant in document["variants"])
    assert document["report"] == str(tmp_path / "demo" / "report.html")
    assert "keep accuracy within 1 point of float" in (tmp_path / "demo" / "report.html").read_text()
    assert "training the float network" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "no-model", "digits", "--data", "digits"], "model 'no-model' is neither a name"),
        (["compare", "digits", "digits", "--data", "nothing"], "unknown data set 'nothing'"),
        (["compare", "digits", "squat-fmnist", "--data", "digits"], "error: "),
        (["report", "none.json"], "cannot read none.json"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_made_is_named_before_any_work(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, out, err = run("demo", "--out", tmp_path / "file" / "demo")
    assert (code, out) == (2, "")
    assert err.startswith("error: cannot make folder")
