import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikequant.views.differing import changes
from spikequant.views.record import Record


def write(folder: Path, name: str, document: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / name).write_text(json.dumps(document))
    return folder


def test_what_changed_is_told_with_its_sign(run: Callable[..., Any], tmp_path: Path, document: dict[str, Any]) -> None:
    first = write(tmp_path / "first", "demo.json", document)
    changed = document["variants"][0]
    changed["accuracy"] += 0.01
    gone = document["variants"].pop()["name"]
    document["setup"]["seed"] = 7
    second = write(tmp_path / "second", "demo.json", document)
    code, printed, _ = run("diff", first, second, "--json")
    told = json.loads(printed)
    assert code == 0
    (row,) = told["changes"]
    assert (row["variant"], row["measure"], round(row["difference"], 9)) == (changed["name"], "accuracy", 0.01)
    assert (told["only_first"], told["only_second"], told["setup"]) == ([gone], [], {"seed": [0, 7]})
    text = run("diff", first, second).out
    assert "+1.0%" in text
    assert "setup seed: 0 | 7" in text


def test_two_comparisons_are_a_pair_under_whatever_names(run: Callable[..., Any], tmp_path: Path, comparison: dict[str, Any]) -> None:
    first = write(tmp_path / "first", "drift.json", comparison)
    comparison["network"] |= {"name": "other", "memory_bits": 80_000.0}
    second = write(tmp_path / "second", "drift.json", comparison)
    (row,) = json.loads(run("diff", first, second, "--json").out)["changes"]
    assert (row["variant"], row["measure"], row["difference"]) == ("small | other", "memory_bits", -80_000.0)


def test_a_run_does_not_differ_from_itself(run: Callable[..., Any], tmp_path: Path, document: dict[str, Any]) -> None:
    only = write(tmp_path / "only", "demo.json", document)
    assert json.loads(run("diff", only, only, "--json").out)["changes"] == []


def test_noise_is_judged_by_seeds_only(record: Record) -> None:
    before = record.variants[0].model_copy(update={"accuracy": 0.9, "deviation": {"accuracy": 0.01}, "seeds": 4})
    # standard error of the difference: sqrt(.01^2/4 + .01^2/4) = .00707; two of them .0141
    far, near = (before.model_copy(update={"accuracy": 0.9 + by}) for by in (0.015, 0.014))
    assert [changes("v", before, after)[0]["beyond_noise"] for after in (far, near)] == [True, False]
    assert changes("v", before, far.model_copy(update={"seeds": None}))[0]["beyond_noise"] is None
