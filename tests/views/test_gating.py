import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def drift(tmp_path: Path, comparison: dict[str, Any]) -> Path:
    (tmp_path / "drift.json").write_text(json.dumps(comparison))
    return tmp_path


def test_bounds_that_hold_end_with_0_the_limit_itself_is_within(run: Callable[..., Any], drift: Path, comparison: dict[str, Any]) -> None:
    bounds = ("--max-emd", comparison["emd"], "--max-drop", "0.014", "--max-bytes", "20000")
    code, printed, _ = run("check", drift, *bounds, "--json")
    document = json.loads(printed)
    assert (code, document["holds"]) == (0, True)
    assert {(bound["measure"], bound["value"]) for bound in document["bounds"]} == {
        ("emd", comparison["emd"]),
        ("drop", 0.014),
        ("bytes", 20000),
    }


@pytest.mark.parametrize(("option", "limit"), [("--max-emd", "0.0001"), ("--max-drop", "0.013"), ("--max-bytes", "19999")])
def test_a_broken_bound_ends_with_1_and_is_named(run: Callable[..., Any], drift: Path, option: str, limit: str) -> None:
    code, printed, _ = run("check", drift, option, limit)
    assert code == 1
    assert "1 of 1 bounds are broken" in printed


def test_of_many_variants_one_can_be_held_to_the_bounds(run: Callable[..., Any], tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "demo.json").write_text(json.dumps(document))
    best = min(document["variants"], key=lambda variant: variant["emd"])
    assert run("check", tmp_path, "--max-emd", best["emd"]).code == 1
    assert run("check", tmp_path, "--max-emd", best["emd"], "--variant", best["name"]).code == 0
    code, _, told = run("check", tmp_path, "--max-emd", "1", "--variant", best["name"] + "x")
    assert code == 2
    assert f"did you mean {best['name']!r}" in told


def test_nothing_to_hold_is_refused(run: Callable[..., Any], tmp_path: Path, drift: Path, comparison: dict[str, Any]) -> None:
    code, _, told = run("check", drift)
    assert (code, "--max-drop" in told) == (2, True)
    del comparison["network"]["accuracy"]
    (drift / "drift.json").write_text(json.dumps(comparison))
    code, _, told = run("check", drift, "--max-drop", "0.5")
    assert code == 2
    assert "holds no accuracy of both networks of small, which --max-drop 0.5 is about" in told
