from pathlib import Path

import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, load, read_document
from spikequant.studies.verbs import Session, Trained, compare_saved, quantize_saved, train
from spikequant.training import Training

SHORT = Training(epochs=1, lr=3e-3, seed=3)


def trained(session: Session, out: Path) -> Trained:
    last = list(train(session, out))[-1]
    assert isinstance(last, Trained)
    return last


@pytest.fixture(scope="module")
def float_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float")
    trained(Session(model="digits", data="digits", training=SHORT, batch_size=64), folder)
    return folder


def test_training_saves_the_network_and_how_it_came_about(float_folder: Path) -> None:
    record = read_document(float_folder)["record"]
    assert record["session"]["training"]["seed"] == 3
    assert record["pairing"] is None
    assert len(record["data_sha256"]) >= 1
    assert 0 <= record["test_accuracy"] <= 1
    assert load(float_folder).recipe is None


def test_training_on_starts_from_the_float_network(float_folder: Path, tmp_path: Path) -> None:
    tune = Training(epochs=1, lr=1e-9, start="float")
    session = Session(
        model=str(float_folder), data="digits", training=tune, recipe=Recipe(weights=LQNet(bits=8)), init=str(float_folder), validation=0.1
    )
    trained(session, tmp_path / "tuned")
    tuned = load(tmp_path / "tuned").get_submodule("readout").parametrizations.weight.original
    torch.testing.assert_close(tuned, load(float_folder).get_submodule("readout").weight, atol=1e-6, rtol=0)


def test_from_scratch_the_pairing_with_the_baseline_is_recorded(float_folder: Path, tmp_path: Path) -> None:
    for index, (seed, batch_size, expected) in enumerate(((3, 64, "same"), (4, 64, "independent"), (3, 128, "independent"))):
        session = Session(
            model="digits",
            data="digits",
            training=SHORT.model_copy(update={"seed": seed}),
            batch_size=batch_size,
            recipe=Recipe(weights=LQNet(bits=2)),
            init=str(float_folder),
        )
        assert trained(session, tmp_path / str(index)).record["pairing"] == expected


def test_a_clip_that_touches_no_weight_is_recorded(float_folder: Path, tmp_path: Path) -> None:
    notes = [
        quantize_saved(str(float_folder), Recipe(weights=LQNet(bits=2, clip=clip)), tmp_path / str(clip)).get("note")
        for clip in (100.0, 0.01)
    ]
    assert (notes[0] or "").startswith("the clip at 100 touches no weight")
    assert notes[1] is None
    recorded = Session(model="digits", data="digits", training=SHORT, recipe=Recipe(weights=LQNet(bits=2, clip=50.0)))
    assert trained(recorded, tmp_path / "trained").record["note"].startswith("the clip at 50")


def test_from_scratch_no_weight_is_a_saved_one(float_folder: Path, tmp_path: Path) -> None:
    session = Session(model=str(float_folder), data="digits", training=SHORT, init=str(float_folder))
    for init in (None, str(float_folder)):
        with pytest.raises(SpecError, match=r"fresh network, and .* give the model that it was made of, 'digits', or train on from it"):
            trained(session.model_copy(update={"init": init}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", ["float", "scratch"])
def test_a_model_that_its_baseline_is_not_is_refused(float_folder: Path, tmp_path: Path, start: str) -> None:
    training = SHORT.model_copy(update={"start": start})
    with pytest.raises(SpecError, match="holds another network than model 'squat-fmnist': give the model that it was made of, 'digits'"):
        trained(Session(model="squat-fmnist", data="digits", training=training, init=str(float_folder)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="name its folder"):
        trained(Session(model="digits", data="digits", training=Training(epochs=1, start="float")), tmp_path)
    with pytest.raises(SpecError, match="held-out share"):
        trained(Session(model="digits", data="digits", training=Training(epochs=1, patience=2)), tmp_path)


def test_no_early_stop_by_images_that_the_network_has_learned_from(float_folder: Path, tmp_path: Path) -> None:
    on = Training(epochs=1, patience=2, start="float", seed=3)
    session = Session(model="digits", data="digits", training=on, init=str(float_folder), validation=0.2)
    with pytest.raises(
        SpecError, match=r"would go by images that .*float.* has learned from: train that one with validation = 0.2 and seed = 3"
    ):
        trained(session, tmp_path / "on")
    trained(Session(model="digits", data="digits", training=SHORT, validation=0.2), tmp_path / "held")
    trained(session.model_copy(update={"init": str(tmp_path / "held")}), tmp_path / "on")


def test_a_checkpoint_of_another_session_is_refused_and_kept(tmp_path: Path) -> None:
    trained(Session(model="digits", data="digits", training=SHORT), tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(MismatchError):
        trained(Session(model="digits", data="digits", training=SHORT.model_copy(update={"lr": 0.5})), tmp_path)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_quantize_and_compare_a_saved_network(float_folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    record = quantize_saved(str(float_folder), Recipe(weights=Uniform(bits=4), state=Uniform(bits=4)), small, "digits", 2)
    assert record["calibration_batches"] == 2
    assert record["total_bits"] < 0.3 * 245_696
    document = compare_saved(str(float_folder), str(small), "digits", batches=3, batch_size=64)
    assert document["images"] == 192
    assert document["emd"] > 0
    assert document["reference"]["label"] == "float / float"
    assert (document["reference"]["start"], document["network"]["start"]) == ("scratch", None)
    assert document["network"]["memory_bits"] == record["total_bits"]
    with pytest.raises(SpecError, match="need data to fit"):
        quantize_saved(str(float_folder), Recipe(state=Uniform(bits=4)), tmp_path / "none")
    assert not (tmp_path / "none").exists()
