"""Steps recorded as a CUDA graph train as those that run as they are; without a GPU nothing is recorded."""

import warnings

import pytest
import torch
from torch import nn

import spikequant as sq
from spikequant.data import Batches, Split, crop_and_flip
from spikequant.models import Network
from spikequant.training import recording
from spikequant.training.recording import Recording

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def images(count: int, device: str) -> Batches:
    torch.manual_seed(0)
    split = Split(torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), torch.arange(count) % 10)
    return Batches(split.to(device), 16, 255.0, seed=0, augment=crop_and_flip())


def network(recipe: sq.Recipe | None, device: str) -> Network:
    model = sq.models.build("sew-resnet8", width=8, seed=0)
    return (model if recipe is None else sq.quantize(model, recipe)).to(device)


def test_without_a_gpu_the_step_runs_as_it_is() -> None:
    layer = nn.Linear(2, 2)
    run = Recording(layer, wanted=True)
    for _ in range(recording.WARM + 2):
        loss = run.loss_of(torch.ones(1, 2), torch.tensor([0]), lambda x, y: layer(x)[0, y].sum())
    assert not run.possible
    assert not loss.requires_grad
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]


RECIPES = {
    "float": None,
    "uniform": sq.Recipe(weights=sq.Uniform(bits=4, low=-1.0, high=1.0), state=sq.Uniform(bits=4, low=-1.0, high=1.0)),
    "fitted": sq.Recipe(weights=sq.Uniform(bits=4)),
    "lqnet": sq.Recipe(weights=sq.LQNet(bits=2)),
    "binary": sq.Recipe(weights=sq.Binary()),
}


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_recorded_training_is_the_same_as_one_that_is_not(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for warm in (recording.WARM, 10**9):
        monkeypatch.setattr(recording, "WARM", warm)
        training = sq.Training(epochs=2, lr=0.05, optimizer="sgd", momentum=0.9, precision=precision)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            losses.append(sq.fit(network(RECIPES[name], "cuda"), images(16 * 8 + 5, "cuda"), training).losses)
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
@GPU
def test_masks_that_freeze_are_seen_by_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for warm in (recording.WARM, 10**9):
        monkeypatch.setattr(recording, "WARM", warm)
        training = sq.Training(epochs=2, lr=1e-3, freezing=sq.training.Freezing())
        losses.append(sq.fit(network(RECIPES["binary"], "cuda"), images(16 * 8 + 5, "cuda"), training).losses)
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
@GPU
def test_what_looks_at_values_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stochastic = sq.Recipe(weights=sq.FixedPoint(integer=1, fraction=6, rounding="stochastic"))
    with pytest.warns(UserWarning, match="not recorded"):
        history = sq.fit(network(stochastic, "cuda"), images(16 * 6, "cuda"), sq.Training(epochs=1, lr=1e-3))
    assert all(torch.isfinite(torch.tensor(history.losses)))


@pytest.mark.gpu
@GPU
def test_batches_and_augmentation_are_the_same_on_the_device() -> None:
    for (x, y), (x_there, y_there) in zip(images(40, "cpu"), images(40, "cuda"), strict=True):
        torch.testing.assert_close(x_there.cpu(), x, rtol=1e-6, atol=0)  # a GPU divides by multiplying
        assert torch.equal(y, y_there.cpu())
