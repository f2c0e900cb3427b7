import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.recipes import load
from spikequant.studies.grid import drafts
from spikequant.studies.pictured import PostTraining
from spikequant.studies.planning import shipped
from spikequant.studies.procedure import Bench, Measures
from spikequant.studies.study import Study, grouped
from spikequant.studies.supervised import POST_TRAINING
from spikequant.studies.unsupervised import STDP, Unsupervised
from spikequant.training import Step

MODEL = {"name": "stdp-net", "args": {"inputs": 64, "neurons": 30, "time": 60, "rate_hz": 250.0, "inhibition": 60.0}}
SMALL: dict[str, Any] = {"data": "digits", "seed": 1, "model": MODEL, "batch_size": 100, "images": 250, "labelled": 200}
FIXED = {"kind": "fixed_point", "integer": 1, "fraction": 4}


def finished(setup: Unsupervised, folder: Path) -> tuple[list[Step], Measures]:
    work, steps = STDP.work(setup, Bench(folder)), []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def test_learns_labels_saves_and_measures_repeatably(tmp_path: Path) -> None:
    setup = Unsupervised.read(SMALL | {"measures": ["accuracy", "memory"]})
    steps, found = finished(setup, tmp_path / "one")
    assert [(step.step, step.total_steps) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert found["accuracy"] > 0.25
    assert found["qspinn_bits"] == 32 * (64 * 30 + 4 * 30)
    network = load(tmp_path / "one")
    assert (network.vote.labels >= 0).any()
    assert finished(setup, tmp_path / "two")[1] == found
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (tmp_path / "two" / "model.safetensors").read_bytes()
    other = Unsupervised.read(SMALL | {"seed": 2})
    finished(other, tmp_path / "other")
    assert not torch.equal(network.synapses.weight, load(tmp_path / "other").synapses.weight)


def test_a_setting_is_chosen_without_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikequant.studies import measures

    monkeypatch.setattr(measures.Subject, "test", property(lambda subject: pytest.fail("test images were read")))
    setup = Unsupervised.read(SMALL | {"validation": 0.2, "measures": ["validation_accuracy", "memory"]})
    STDP.check(setup)
    assert 0.1 < finished(setup, tmp_path)[1]["validation_accuracy"] < 1


def test_post_training_keeps_the_float_labels(tmp_path: Path) -> None:
    finished(Unsupervised.read(SMALL), tmp_path / "float")
    setup = PostTraining.read({name: SMALL[name] for name in ("data", "seed", "model")} | {"recipe": {"weights": FIXED}})
    with pytest.raises(StopIteration):
        next(POST_TRAINING.work(setup, Bench(tmp_path / "small", reference=tmp_path / "float")))
    assert torch.equal(load(tmp_path / "small").vote.labels, load(tmp_path / "float").vote.labels)


def test_post_training_is_priced_before_its_reference_has_labels(tmp_path: Path) -> None:
    shared = {name: SMALL[name] for name in ("data", "seed", "model")}
    setup = PostTraining.read(shared | {"recipe": {"weights": FIXED}, "measures": ["accuracy"]})
    with pytest.raises(StopIteration):
        next(POST_TRAINING.work(setup, Bench(tmp_path, rehearsal=True)))


def test_learns_on_the_grid(tmp_path: Path) -> None:
    finished(Unsupervised.read(SMALL | {"recipe": {"weights": FIXED}, "stdp": {"holding": "in_place"}}), tmp_path)
    kept = load(tmp_path).synapses.parametrizations.weight.original * 16
    assert torch.equal(kept, kept.round())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"stdp": {"seed": 1}}, "stdp.seed follows"),
        ({"validation": 0.1}, "go together"),
        ({"measures": ["validation_accuracy"]}, "go together"),
        ({"model": "digits"}, "neurons that compete"),
        ({"measures": ["acuracy"]}, "did you mean 'accuracy'"),
    ],
)
def test_what_cannot_be_run_is_refused_before(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        STDP.check(Unsupervised.read(SMALL | changed))


def test_the_shipped_study_holds_figures_1_and_10() -> None:
    study = Study.read(grouped(tomllib.loads(shipped()["qspinn-unsupervised"].read_text())))
    found = [draft for draft in drafts(study) if draft.seed == 0]
    formats = 8 + 7 + 8  # of weights, neurons and both: 16 and 12 fraction bits of a membrane are one
    assert len(found) == 1 + formats * 3 + formats * 3 * 2 + 4
    sizes = [draft.fields["model"] for draft in found if "fig1" in draft.tags]
    assert sizes == [{"name": "stdp-net", "args": {"neurons": neurons}} for neurons in (100, 225, 900, 1600)]
    six = next(draft for draft in found if {"ptq", "both", "f6", "stochastic"} <= {*draft.tags})
    assert six.fields["recipe"] == {
        "weights": {"kind": "fixed_point", "integer": 1, "fraction": 6, "rounding": "stochastic"},
        "state": {"kind": "fixed_point", "integer": 11, "fraction": 6, "rounding": "stochastic"},
        "constants": {"kind": "fixed_point", "integer": 11, "fraction": 6, "rounding": "stochastic"},
    }
