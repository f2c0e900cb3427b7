import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from spikequant.data import DataSet, Split, table
from spikequant.errors import SpecError
from spikequant.recipes import load
from spikequant.studies import local
from spikequant.studies.grid import drafts
from spikequant.studies.local import DECOLLE, Local
from spikequant.studies.pictured import PostTraining
from spikequant.studies.planning import shipped
from spikequant.studies.procedure import Bench, Measures, Work
from spikequant.studies.study import Study, grouped
from spikequant.studies.supervised import POST_TRAINING

MODEL = {"name": "decolle", "args": {"shape": [2, 12, 12], "channels": [4, 8, 8], "time": 6, "classes": 3, "decays": [0.5, 0.3, 0.5]}}
FAST = {"epochs": 6, "burn_in": 1, "lr": 5e-3, "settling": 8, "dropout": 0.0}
SMALL: dict[str, Any] = {"data": "thirds", "seed": 1, "model": MODEL, "batch_size": 12, "validation": 0.2, "decolle": FAST}
FIXED = {"weights": {"kind": "fixed_point", "integer": 1, "fraction": 6}, "state": {"kind": "fixed_point", "fraction": 6}}


def split(count: int, seed: int) -> Split:
    """Noise in the upper, middle or lower third of the frame."""
    generator, y = torch.Generator().manual_seed(seed), torch.arange(count) % 3
    x = torch.zeros(count, 6, 2, 12, 12, dtype=torch.uint8)
    for index, each in enumerate(y.tolist()):
        x[index, :, :, 4 * each : 4 * each + 4] = (torch.rand(6, 2, 4, 12, generator=generator) < 0.4).byte()
    return Split(x, y, sequence=True)


@pytest.fixture(autouse=True)
def _thirds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataSet("thirds", split(60, 0), split(30, 1), 3, (2, 12, 12), {}, scale=1.0)
    monkeypatch.setitem(table.READERS, "thirds", lambda root: data)


def finished(work: Work) -> Measures:
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Measures = end.value
            return found


def test_learns_measures_and_keeps_its_epochs(tmp_path: Path) -> None:
    setup = Local.read(SMALL | {"measures": ["accuracy", "validation_accuracy", "memory"]})
    DECOLLE.check(setup)
    found = finished(DECOLLE.work(setup, Bench(tmp_path / "one")))
    epochs = json.loads((tmp_path / "one" / "learning.json").read_text())
    assert [each["epoch"] for each in epochs] == [*range(1, 7)]
    assert epochs[-1]["loss"] < 0.8 * epochs[0]["loss"]
    assert found["validation_accuracy"] == epochs[-1]["validation_accuracy"] > 0.6
    assert finished(DECOLLE.work(setup, Bench(tmp_path / "two"))) == found
    for name in ("model.safetensors", "learning.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_quantized_network_learns_from_scratch_or_from_its_reference(tmp_path: Path) -> None:
    finished(DECOLLE.work(Local.read(SMALL), Bench(tmp_path / "float")))
    still = FAST | {"epochs": 1, "lr": 1e-12}
    on = Local.read(SMALL | {"recipe": FIXED, "init": "float", "decolle": still})
    assert DECOLLE.needs(on) == {"reference"}
    finished(DECOLLE.work(on, Bench(tmp_path / "on", reference=tmp_path / "float")))
    shadow = load(tmp_path / "on").conv1.parametrizations.weight.original
    torch.testing.assert_close(shadow, load(tmp_path / "float").conv1.weight)
    scratch = Local.read(SMALL | {"recipe": FIXED})
    assert DECOLLE.needs(scratch) == frozenset()
    finished(DECOLLE.work(scratch, Bench(tmp_path / "scratch")))
    on_grid = load(tmp_path / "scratch").conv1.weight * 64
    assert torch.equal(on_grid, on_grid.round())


def test_post_training_judges_by_the_same_held_out_samples(tmp_path: Path) -> None:
    measured = {"measures": ["validation_accuracy"]}
    found = finished(DECOLLE.work(Local.read(SMALL | measured), Bench(tmp_path / "float")))
    fine = {"weights": {"kind": "fixed_point", "integer": 3, "fraction": 20}}
    shared = {name: SMALL[name] for name in ("data", "seed", "model", "batch_size", "validation")}
    setup = PostTraining.read(shared | measured | {"recipe": fine})
    assert finished(POST_TRAINING.work(setup, Bench(tmp_path / "small", reference=tmp_path / "float"))) == found


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"decolle": {"seed": 1}}, "decolle.seed follows"),
        ({"validation": 0.0, "measures": ["validation_accuracy"]}, "go together"),
        ({"model": {"name": "digits", "args": {"classes": 3}}}, "samples of shape"),
        ({"measures": ["acuracy"]}, "did you mean 'accuracy'"),
    ],
)
def test_what_cannot_be_run_is_refused_before(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        DECOLLE.check(Local.read(SMALL | changed))


def test_a_network_without_local_losses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "check", lambda setup: None)
    with pytest.raises(SpecError, match=r"Setup\.model: local learning takes layers of traces"):
        DECOLLE.check(Local.read(SMALL | {"model": "digits"}))


def test_the_shipped_study_holds_figure_11() -> None:
    study = Study.read(grouped(tomllib.loads(shipped()["qspinn-supervised"].read_text())))
    found = [draft for draft in drafts(study) if draft.seed == 0]
    assert len(found) == 1 + 3 * 8 * 3 + 3 * 3 * 2
    six = next(draft for draft in found if {"itq", "both", "f6", "stochastic"} <= {*draft.tags})
    assert six.fields["recipe"]["weights"] == {"kind": "fixed_point", "integer": 1, "fraction": 6, "rounding": "stochastic"}
    assert six.fields["recipe"]["state"] == {"kind": "fixed_point", "fraction": 6, "rounding": "stochastic"}
    assert six.fields["recipe"]["constants"] == {"kind": "fixed_point", "integer": 1, "fraction": 6}
