import contextlib
from pathlib import Path
from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.recipes import Recipe, save
from spikequant.studies.pictured import PostTraining, Supervised
from spikequant.studies.refusing import check
from spikequant.studies.supervised import POST_TRAINING, SUPERVISED

SMALL: dict[str, Any] = {"data": "digits", "seed": 3, "model": {"name": "digits", "args": {"width": 2, "time": 1}}, "batch_size": 512}
LQ = {"weights": {"kind": "lqnet", "bits": 2}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": {"name": "digits", "args": {"widht": 2}}}, "widht"),
        ({"model": "squat-fmnist"}, r"samples of shape \(1, 8, 8\)"),
        ({"measures": ["emdd"]}, "did you mean 'emd'"),
        ({"measures": ["levels"]}, "no state has one; leave it out"),
        ({"measures": ["levels"], "recipe": LQ}, "no state has one; leave it out"),
        (
            {"measures": ["levels"], "recipe": {"state": {"kind": "q_snn_membrane", "bits": 4}}},
            "Q-SNN tanh follows each batch; leave it out",
        ),
        ({"model": "stdp-net", "recipe": LQ}, "recipe: STDP takes fixed-point grids .*, got lqnet"),
        ({"model": "stdp-net", "recipe": Recipe.integer().fields()}, "recipe: excitatory: there is no competing in whole numbers"),
        ({"recipe": {"constants": {"kind": "uniform", "bits": 4, "range": "sample"}}}, "recipe: lif1: the range of .* follows"),
        ({"recipe": {"overrides": {"con9*": {"weights": "float"}}}}, r"con9\*"),
    ],
)
def test_what_cannot_be_run_is_refused_before(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        check(Supervised.read(SMALL | {"training": {"epochs": 1}} | changed))


def test_all_mistakes_of_a_setup_are_told_at_once() -> None:
    wrong = {"model": "squat-fmnist", "measures": ["strat", "emdd"], "recipe": {"overrides": {"con9*": {"weights": "float"}}}}
    with pytest.raises(SpecError) as caught:
        SUPERVISED.check(Supervised.read(SMALL | {"training": {"epochs": 1}} | wrong))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["Setup.measures", "Setup.measures", "Setup.recipe", "Setup.data"]
    assert lines[0].endswith("did you mean 'start'?")
    assert lines[1].endswith("did you mean 'emd'?")


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_that_holds_no_network_is_a_mistake_of_the_study(name: str) -> None:
    with pytest.raises(SpecError, match=r"holds no model\.json"):
        check(Supervised.read(SMALL | {"model": name, "training": {"epochs": 1}}))


def test_a_study_takes_a_saved_network_as_its_model(tmp_path: Path) -> None:
    save(build("digits"), tmp_path)
    check(Supervised.read(SMALL | {"model": str(tmp_path), "training": {"epochs": 1}}))
    with pytest.raises(SpecError, match="takes no args"):
        check(Supervised.read(SMALL | {"model": {"name": str(tmp_path), "args": {"width": 2}}, "training": {"epochs": 1}}))


BINARY = {"weights": {"kind": "binary"}}


@pytest.mark.parametrize(
    ("training", "recipe", "told"),
    [
        ({"rate_pull": 0.1}, None, "training.rate_pull: .* the model has 2: it needs at least 3"),
        ({"freezing": {}}, LQ, "training.freezing: nothing can freeze"),
        ({"freezing": {}}, BINARY, None),
        ({"freezing": {"spikes": True}}, None, None),
        ({"freezing": {}}, BINARY | {"batch_norm": "folded"}, None),  # what it becomes hangs on the trained network
    ],
)
def test_a_training_that_the_network_cannot_take_is_refused(training: dict[str, Any], recipe: Any, told: str | None) -> None:
    setup = Supervised.read(SMALL | {"training": {"epochs": 1} | training, "recipe": recipe})
    with pytest.raises(SpecError, match=told) if told else contextlib.nullcontext():
        SUPERVISED.check(setup)


@pytest.mark.parametrize(
    ("recipe", "part", "told"),
    [
        (Recipe.integer().fields(), "bias", "correction: the network computes in integers"),
        ({"state": {"kind": "uniform", "bits": 4}}, "threshold", "correction: lif1: the threshold would leave the grid of the membrane"),
        ({"state": {"kind": "uniform", "bits": 4}}, "bias", None),
        (LQ, "threshold", None),
    ],
)
def test_a_correction_that_the_network_cannot_take_is_refused(recipe: Any, part: str, told: str | None) -> None:
    setup = PostTraining.read(SMALL | {"recipe": recipe, "correction": {"part": part}})
    with pytest.raises(SpecError, match=told) if told else contextlib.nullcontext():
        POST_TRAINING.check(setup)
