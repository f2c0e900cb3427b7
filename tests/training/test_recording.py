"""Steps recorded as a CUDA graph train as those that run as they are; without a GPU nothing is recorded."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import spikequant as sq
from spikequant.data import Batches, Split, crop_and_flip
from spikequant.models import Network
from spikequant.numerics import soundness
from spikequant.numerics.kernels.native import kernels_in_use
from spikequant.quantizers import MINT, Membrane, QSNNBinary, QSNNMembrane, ReScaW, SpikeFit, SpQuant
from spikequant.training import recording
from spikequant.training.outputs import step_outputs
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


class Unseen(TorchDispatchMode):
    """Refuses whatever brings a value to where Python can look at it, as a recording CUDA graph does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func._schema.name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"):
            raise RuntimeError(f"{func._schema.name} looks at a value")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[sq.Recipe | None], Callable[[], object]]:
    """The step of a network as a GPU computes it while it records: in torch, and told that no value is there."""

    def prepare(recipe: sq.Recipe | None) -> Callable[[], object]:
        monkeypatch.setenv("SPIKEQUANT_KERNELS", "torch")
        kernels_in_use.cache_clear()
        request.addfinalizer(kernels_in_use.cache_clear)
        model = sq.models.build("digits", width=2, time=2, seed=0)
        (x, y), *_ = data = [(torch.rand(16, 1, 8, 8), torch.arange(16) % 10)]
        model = model if recipe is None else sq.quantize(model, recipe, data, 1)

        def step() -> object:
            return cross_entropy(step_outputs(model, x, "float32").mean(0), y).backward()

        model.train()
        step()
        with torch.no_grad():  # weights that moved are fitted anew
            for parameter in model.parameters():
                parameter.mul_(0.5)
        asked = soundness.recording
        for module in [each for name, each in sys.modules.items() if name.startswith("spikequant.")]:
            if getattr(module, "recording", None) is asked:
                monkeypatch.setattr(module, "recording", lambda: True)
        return step

    return prepare


METHODS = RECIPES | {
    "lsq": sq.Recipe(weights=sq.LSQ(bits=2)),
    "q_snn": sq.Recipe(weights=QSNNBinary(), state=QSNNMembrane(bits=3), snapped="after_reset"),
    "rescaw": sq.Recipe(weights=ReScaW(bits=2)),
    "spikefit": sq.Recipe(weights=SpikeFit(bits=2)),
    "lqnet membrane": sq.Recipe(state=sq.LQNet(bits=2)),
    "membrane": sq.Recipe(state=Membrane(bits=2)),
    "spquant": sq.Recipe(state=SpQuant(learned=True), snapped="after_reset"),
    "step_batch": sq.Recipe(state=sq.ThresholdCentered(bits=3, range="step_batch")),
    "mint": sq.Recipe(weights=sq.LSQ(bits=4), state=MINT(bits=4), snapped="after_reset", batch_norm="folded"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_step_looks_at_no_value_while_it_is_recorded(name: str, recorded: Any) -> None:
    step = recorded(METHODS[name])
    with Unseen():
        step()


def test_a_look_at_a_value_is_found(recorded: Any) -> None:
    step = recorded(sq.Recipe(weights=sq.FixedPoint(integer=1, fraction=6, rounding="stochastic")))
    with Unseen(), pytest.raises(RuntimeError, match="looks at a value"):
        step()


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
    assert torch.rand(1, device="cuda") < 1  # what was begun and given up left nothing behind


@pytest.mark.gpu
@GPU
def test_batches_and_augmentation_are_the_same_on_the_device() -> None:
    for (x, y), (x_there, y_there) in zip(images(40, "cpu"), images(40, "cuda"), strict=True):
        torch.testing.assert_close(x_there.cpu(), x, rtol=1e-6, atol=0)  # a GPU divides by multiplying
        assert torch.equal(y, y_there.cpu())
