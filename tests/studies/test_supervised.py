from pathlib import Path
from typing import Any

import pytest
import torch

from spikequant.data import Batches, hold_out
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.recipes import Recipe, load, save
from spikequant.studies.procedure import Bench, Measures, Work
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import POST_TRAINING, SUPERVISED, PostTraining, Supervised, check, needs, weight_bytes
from spikequant.training import evaluate

SMALL: dict[str, Any] = {"data": "digits", "seed": 3, "model": {"name": "digits", "args": {"width": 2, "time": 1}}, "batch_size": 512}
LQ = {"weights": {"kind": "lqnet", "bits": 2}}


def finished(work: Work) -> Measures:
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Measures = end.value
            return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float")
    finished(SUPERVISED.work(Supervised.read(SMALL | {"training": {"epochs": 1}, "measures": ["accuracy"]}), Bench(folder)))
    return folder


def test_training_leaves_the_network_and_no_checkpoint(reference: Path) -> None:
    assert sorted(path.name for path in reference.iterdir()) == ["model.json", "model.safetensors"]


def test_training_goes_on_from_its_checkpoint_bit_for_bit(reference: Path, tmp_path: Path) -> None:
    setup = Supervised.read(SMALL | {"training": {"epochs": 2}})
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    finished(SUPERVISED.work(setup, Bench(whole)))
    work = SUPERVISED.work(setup, Bench(parted))
    while not (parted / "checkpoint.safetensors").exists():
        next(work)
    work.close()
    finished(SUPERVISED.work(setup, Bench(parted)))
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_recipes_are_chosen_on_what_was_held_out(tmp_path: Path) -> None:
    measures = ["accuracy", "validation_accuracy"]
    setup = Supervised.read(SMALL | {"training": {"epochs": 1}, "validation": 0.25, "measures": measures})
    found = finished(SUPERVISED.work(setup, Bench(tmp_path)))
    held = hold_out(cached_data("digits").train, 0.25, SMALL["seed"])[1]
    assert found["validation_accuracy"] == evaluate(load(tmp_path), Batches(held, 512, 16.0)) != found["accuracy"]
    with pytest.raises(SpecError, match="held-out share"):
        Supervised.read(SMALL | {"training": {"epochs": 1}, "measures": measures})


def test_training_on_starts_from_the_reference(reference: Path, tmp_path: Path) -> None:
    setup = Supervised.read(SMALL | {"training": {"epochs": 1, "lr": 1e-12}, "init": "float", "recipe": LQ})
    finished(SUPERVISED.work(setup, Bench(tmp_path, reference=reference)))
    tuned = load(tmp_path).get_submodule("readout").parametrizations.weight.original
    torch.testing.assert_close(tuned, load(reference).get_submodule("readout").weight, atol=1e-6, rtol=0)


def test_post_training_quantizes_the_reference(reference: Path, tmp_path: Path) -> None:
    setup = PostTraining.read(SMALL | {"recipe": LQ, "measures": ["accuracy", "emd", "training_floor"], "measure_batches": 1})
    found = finished(POST_TRAINING.work(setup, Bench(tmp_path, reference=reference, twins=(reference,))))
    assert found["emd"] is not None
    assert found["training_floor"] == 0.0
    assert load(tmp_path).get_submodule("conv2").weight[0].unique().numel() <= 4


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lively")
    network = build("digits", width=2, time=1)
    for name in ("norm1", "norm2"):  # so that it fires without having been trained
        torch.nn.init.constant_(network.get_submodule(name).weight, 4.0)
    save(network, folder)
    return folder


def test_a_correction_brings_rates_nearer(lively: Path, tmp_path: Path) -> None:
    recipe = {"weights": {"kind": "uniform", "bits": 2, "low": -1.0, "high": 1.0}}
    setup = SMALL | {"recipe": recipe, "measures": ["emd"], "measure_batches": 1}
    plain, corrected = (
        finished(POST_TRAINING.work(PostTraining.read(setup | more), Bench(tmp_path / name, reference=lively)))
        for name, more in (("plain", {}), ("corrected", {"correction": {"part": "bias", "batches": 1}}))
    )
    assert corrected["emd"] < 0.5 * plain["emd"]  # type: ignore[operator]


def test_what_a_network_was_before_it_trained_on_can_be_measured(lively: Path, tmp_path: Path) -> None:
    setup = SMALL | {"recipe": {"weights": {"kind": "uniform", "bits": 2, "low": -1.0, "high": 1.0}}, "measure_batches": 1}
    quantized = PostTraining.read(setup | {"measures": ["accuracy", "emd"]})
    plain = finished(POST_TRAINING.work(quantized, Bench(tmp_path / "ptq", reference=lively)))
    training = {"training": {"epochs": 1}, "init": "float", "measures": ["accuracy", "start"]}
    found = finished(SUPERVISED.work(Supervised.read(setup | training), Bench(tmp_path / "qat", reference=lively)))
    assert (found["start_accuracy"], found["start_emd"]) == (plain["accuracy"], plain["emd"])
    assert 0 < found["start_rate_shift"] <= found["start_emd"]  # type: ignore[operator]
    assert found["start_dead_shift"] is not None
    with pytest.raises(SpecError, match="set init='float' and a recipe"):
        Supervised.read(setup | training | {"init": "scratch"})


def test_a_rehearsal_needs_no_reference(tmp_path: Path) -> None:
    setup = PostTraining.read(SMALL | {"recipe": LQ, "measures": ["emd", "training_floor"], "measure_batches": 1})
    assert finished(POST_TRAINING.work(setup, Bench(tmp_path, rehearsal=True)))["emd"] is not None
    with pytest.raises(SpecError, match="give its group a reference"):
        finished(POST_TRAINING.work(setup, Bench(tmp_path)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"training": {"epochs": 1, "seed": 1}}, "follow from the trial"),
        ({"training": {"epochs": 1, "patience": 2}}, "held-out share"),
        ({"model": "digts"}, "did you mean 'digits'"),
        ({"model": {"name": "digits", "args": {"widht": 2}}}, "widht"),
        ({"model": {"name": "json:loads", "args": {"width": 2}}}, "names no code"),
        ({"model": "squat-fmnist"}, r"samples of shape \(1, 8, 8\)"),
        ({"measures": ["emdd"]}, "did you mean 'emd'"),
        ({"measures": ["levels"]}, "no state has one; leave it out"),
        ({"measures": ["levels"], "recipe": LQ}, "no state has one; leave it out"),
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


def test_needs_and_weights_follow_from_the_setup() -> None:
    scratch = Supervised.read(SMALL | {"training": {"epochs": 1}})
    assert needs(scratch) == set()
    assert needs(scratch.model_copy(update={"init": "float"})) == {"reference"}
    assert needs(PostTraining.read(SMALL | {"recipe": LQ})) == {"reference"}
    trained = 4 * (2 * 9 + 4 * 2 * 9 + 16 * 10 + 10 + 2 * (2 + 4) + 2 * (2 + 4))
    assert weight_bytes(scratch) >= trained


@pytest.mark.parametrize("name", ["os:abort", "mine:make", "absent/folder", "digit", "x" * 300])
def test_a_study_names_no_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"^Supervised\.model: unknown model .* or the folder of a saved network; a study names no code"):
        Supervised.read(SMALL | {"model": name, "training": {"epochs": 1}})


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_that_holds_no_network_is_a_mistake_of_the_study(name: str) -> None:
    with pytest.raises(SpecError, match=r"holds no model\.json"):
        check(Supervised.read(SMALL | {"model": name, "training": {"epochs": 1}}))


def test_a_study_takes_a_saved_network_as_its_model(reference: Path) -> None:
    check(Supervised.read(SMALL | {"model": str(reference), "training": {"epochs": 1}}))
    with pytest.raises(SpecError, match="takes no args"):
        check(Supervised.read(SMALL | {"model": {"name": str(reference), "args": {"width": 2}}, "training": {"epochs": 1}}))


def test_rates_that_are_wished_for_are_those_of_the_reference(reference: Path, tmp_path: Path) -> None:
    wish = {"training": {"epochs": 1, "rates": {"weight": 1.0}}, "measures": ["accuracy"]}
    setup = Supervised.read(SMALL | wish)
    assert needs(setup) == {"reference"}
    assert 0 <= finished(SUPERVISED.work(setup, Bench(tmp_path, reference=reference)))["accuracy"] <= 1
    with pytest.raises(SpecError, match="give its group a reference"):
        finished(SUPERVISED.work(setup, Bench(tmp_path / "alone")))
