import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spikequant.models import build
from spikequant.recipes import save
from spikequant.studies import resolve_model, resolve_recipe

TOML = "weights = ['float', { kind = 'lqnet', bits = 4 }, { kind = 'lqnet', bits = 2 }]"


@pytest.fixture
def asked(tmp_path: Path) -> tuple[object, ...]:
    save(build("digits", seed=1, width=4), tmp_path / "float")
    (tmp_path / "space.toml").write_text(TOML)
    return ("explore", tmp_path / "float", "--data", "digits", "--space", tmp_path / "space.toml", "--out", tmp_path / "out")


def test_the_answer_names_a_recipe_that_quantize_takes(run: Callable[..., Any], asked: tuple[object, ...], tmp_path: Path) -> None:
    code, printed, told = run(*asked, "--max-drop", "1.0", "--json")
    document = json.loads(printed)
    assert code == 0
    assert document["judged_on"] == "validation"
    assert document["recipe"]["weights"]["bits"] == 2
    assert "at most 3 candidates" in told
    assert resolve_recipe(str(tmp_path / "out/best.toml")).fields() == document["recipe"]
    assert document["network"] == str(tmp_path / "out/best")
    assert resolve_model(document["network"]).recipe.fields() == document["recipe"]
    assert {"best.toml", "exploration.json", "front.csv", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_every_candidate_that_enters_the_front_is_told(run: Callable[..., Any], asked: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("weights = ['float', { kind = 'uniform', bits = 2, low = -10.0, high = 10.0 }]")
    _, _, told = run(*asked, "--max-drop", "1.0", "--max-emd", "0.0001", "--strategy", "every")
    fine, coarse = [line for line in told.splitlines() if line.startswith("on the front: ")]
    assert fine.startswith("on the front: weights float, ptq: ")
    assert coarse.startswith("on the front: weights uniform [-10, 10] 2 bits, ptq: ")
    assert fine.endswith("EMD 0.0000")
    assert coarse.endswith(", beyond the bounds")


def test_bounds_that_nothing_keeps_end_with_1_and_say_how_near(run: Callable[..., Any], asked: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("weights = [{ kind = 'uniform', bits = 2, low = -10.0, high = 10.0 }]")
    code, printed, _ = run(*asked, "--max-drop", "1.0", "--max-emd", "0.0001")
    assert code == 1
    assert "the nearest is weights uniform [-10, 10] 2 bits, ptq with a drop of" in printed
    assert not (tmp_path / "out/best.toml").exists()


def test_a_bad_objective_leaves_nothing_behind(run: Callable[..., Any], asked: tuple[object, ...], tmp_path: Path) -> None:
    code, _, told = run(*asked, "--objectives", "accuracy,memroy")
    assert code == 2
    assert "did you mean 'memory'" in told
    assert not (tmp_path / "out").exists()
