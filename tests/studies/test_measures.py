import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from spikequant.behavior import Drift, operations
from spikequant.data import Batches, hold_out, load
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.quantizers import Anchored, LQNet, Uniform
from spikequant.recipes import Recipe, memory, quantize
from spikequant.studies import measures
from spikequant.studies.examine import states
from spikequant.studies.measures import MEASURES, Subject, check, measured, needs
from spikequant.training import evaluate


@pytest.fixture(scope="module")
def subject() -> Subject:
    network, twin = build("digits", width=2, time=2), build("digits", seed=1, width=2, time=2)
    for each in (network, twin):
        for norm in ("norm1", "norm2"):  # so that it fires without having been trained
            torch.nn.init.constant_(each.get_submodule(norm).weight, 4.0)
    small = quantize(network, Recipe(weights=LQNet(bits=2), state=Anchored(bits=2)))
    data = load("digits")
    return Subject(small.eval(), data, 128, 2, network.eval(), (twin.eval(),), hold_out(data.train, 0.1, 0)[1])


def test_every_measure_gives_finite_values_under_names_of_their_own(subject: Subject, tmp_path: Path) -> None:
    found = measured(tuple(MEASURES), subject, tmp_path)
    assert found["memory_bits"] == memory(subject.network).total_bits
    assert found["emd"] == subject.drift.emd > 0
    assert subject.drift.training_floor is not None
    assert found["training_floor"] == subject.drift.training_floor.emd
    assert {name for name, entry in MEASURES.items() if entry.named} == found.keys() & MEASURES.keys()
    assert len(found) == sum(len(entry.values(subject)) for entry in MEASURES.values())
    assert set(load_file(tmp_path / "rates.safetensors")) == {"lif1", "lif2"}
    assert Drift.from_dict(json.loads((tmp_path / "drift.json").read_text())) == subject.drift
    told = json.loads((tmp_path / "network.json").read_text())
    assert sum(told["ledger"].values()) == found["memory_bits"]
    assert told["state_health"] == states(subject.network, subject.data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_every_measure_is_the_same_where_the_networks_lie_on_a_gpu(subject: Subject, tmp_path: Path) -> None:
    here = measured(tuple(MEASURES), subject, tmp_path)
    network, reference, twin = (copy.deepcopy(each).cuda() for each in (subject.network, subject.reference, subject.twins[0]))
    there = measured(tuple(MEASURES), Subject(network, subject.data, 128, 2, reference, (twin,), subject.held), tmp_path)
    assert there == pytest.approx(here, abs=0.02, nan_ok=True)


def test_the_test_images_are_those_that_are_measured_on(subject: Subject) -> None:
    assert len(subject.test.split.y) == 360


def test_held_out_images_are_no_test_images(subject: Subject, tmp_path: Path) -> None:
    assert subject.held is not None
    found = measured(("validation_accuracy",), subject, tmp_path)["validation_accuracy"]
    assert found == evaluate(subject.network, Batches(subject.held, 128, 16.0))
    with pytest.raises(SpecError, match=r"needs a held-out share of the training images; set validation, as 0\.1"):
        measured(("validation_accuracy",), Subject(subject.network, subject.data, 128, 1, None, ()), tmp_path)


def test_operations_are_those_of_all_layers(subject: Subject, tmp_path: Path) -> None:
    counted = operations(subject.network, subject.test, subject.batches)
    found = measured(("operations", "traffic"), subject, tmp_path)
    assert found["synaptic_operations"] == pytest.approx(sum(layer.effective for layer in counted.values()))
    assert 0 < found["synaptic_operations"] < sum(layer.dense for layer in counted.values())


def test_without_a_reference_nothing_is_compared(subject: Subject, tmp_path: Path) -> None:
    alone = Subject(subject.network, subject.data, 128, 1, None, ())
    with pytest.raises(SpecError, match="give its group a reference"):
        measured(("emd",), alone, tmp_path)
    paired = Subject(subject.network, subject.data, 128, 1, subject.reference, ())
    for name in ("training_floor", "emd_independent"):
        with pytest.raises(SpecError, match="more than one seed"):
            measured((name,), paired, tmp_path)


def test_the_parts_bound_the_emd(subject: Subject, tmp_path: Path) -> None:
    found = measured(("emd", "emd_parts"), subject, tmp_path)
    shift, shape = found["emd_mean_shift"], found["emd_shape"]
    assert shift is not None
    assert shape is not None
    assert shift <= subject.drift.emd + 1e-12 <= shift + shape + 2e-12
    assert found["layers_firing_more"] in (0.0, 0.5, 1.0)


def test_needs_follow_from_the_names() -> None:
    assert needs(("accuracy", "memory", "firing")) == set()
    assert needs(("accuracy", "emd")) == {"reference"}
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        check(("acuracy",))
    assert measures.BATCHES == 20


def test_levels_of_states_are_measured(subject: Subject, tmp_path: Path) -> None:
    found = measured(("levels",), subject, tmp_path)
    assert (found["levels_rest_missed"], found["levels_threshold_missed"], found["levels_singular"]) == (0.0, 0.0, None)


def test_accuracy_is_given_by_evaluation_batch(subject: Subject, tmp_path: Path) -> None:
    """A range that stands gives one accuracy, one that follows the batch may give three: here by the samples of one batch."""
    found = measured(("accuracy", "batch_sizes"), subject, tmp_path)
    assert [found[f"accuracy_batch_{size}"] for size in (1, 32, 128)] == [found["accuracy"]] * 3
    following = quantize(subject.reference, Recipe(state=Uniform(bits=1, range="step_batch"))).eval()
    found = measured(("batch_sizes",), replace(subject, network=following), tmp_path)
    assert len(set(found.values())) > 1
