from pathlib import Path
from typing import Any

import pytest
import torch

from spikequant.data import Batches, hold_out
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.recipes import load, save
from spikequant.studies.pictured import PostTraining, Supervised, needs
from spikequant.studies.procedure import Bench, Measures, Work
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import POST_TRAINING, SUPERVISED
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


def test_rates_that_are_wished_for_are_those_of_the_reference(reference: Path, tmp_path: Path) -> None:
    wish = {"training": {"epochs": 1, "rates": {"weight": 1.0}}, "measures": ["accuracy"]}
    setup = Supervised.read(SMALL | wish)
    assert needs(setup) == {"reference"}
    assert 0 <= finished(SUPERVISED.work(setup, Bench(tmp_path, reference=reference)))["accuracy"] <= 1
    with pytest.raises(SpecError, match="give its group a reference"):
        finished(SUPERVISED.work(setup, Bench(tmp_path / "alone")))
