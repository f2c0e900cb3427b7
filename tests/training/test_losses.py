import math
from typing import get_args

import pytest
import torch

from spikequant.models import build
from spikequant.training.losses import LOSSES, criterion
from spikequant.training.spec import LossName, MeanSquareName, Training

# Three steps, one image, two classes; class 0 is right: it fires twice, class 1 once.
SPIKES = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
RIGHT = torch.tensor([0])


def softplus(x: float) -> float:
    """Cross entropy of two logits, the right one smaller by x."""
    return math.log(1 + math.exp(x))


GOLDEN = {
    "cross_entropy_mean": softplus(-1 / 3),  # mean outputs 2/3 and 1/3
    "cross_entropy_count": softplus(-1),  # counts 2 and 1
    "mse_count": (1 + 1) / 2 / 3,  # counts 2 and 1 against 3 and 0, mean of two classes, over three steps
    "squat_mse": 0 + 0 + (1 + 1),  # only the third step is wrong, in both classes
    "squat_mse_count": 1 + 1,
    "squat_ce": (2 * softplus(-1) + softplus(1)) / 3,
    "squat_ce_count": softplus(-1) / 3,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_value(name):
    assert float(LOSSES[name](SPIKES, RIGHT)) == pytest.approx(GOLDEN[name], rel=1e-6)


@pytest.mark.parametrize("name", ["mse_count", "squat_mse", "squat_mse_count"])
def test_golden_value_at_stated_rates(name):
    """Wanted rates 3/4 and 1/4: counts 2 and 1 against 9/4 and 3/4; each step is off by 1/4 twice, or by 3/4 twice."""
    golden = {"mse_count": (1 / 16 + 1 / 16) / 2 / 3, "squat_mse": 4 / 16 + 2 * 9 / 16, "squat_mse_count": 1 / 16 + 1 / 16}
    assert float(LOSSES[name](SPIKES, RIGHT, correct_rate=0.75, incorrect_rate=0.25)) == pytest.approx(golden[name], rel=1e-6)


def test_every_name_has_its_loss_and_its_golden_value():
    names = {name for part in get_args(LossName) for name in get_args(part) or (part,)}
    assert names - {"cross_entropy"} == set(LOSSES) == set(GOLDEN)


@pytest.mark.parametrize(("name", "loss"), [("digits", "cross_entropy_mean"), ("squat-fmnist", "cross_entropy_count")])
def test_cross_entropy_is_that_of_the_models_own_logits(name, loss):
    assert criterion(Training(epochs=1), build(name)) is LOSSES[loss]


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_gives_the_mean_of_its_images(name):
    spikes = torch.randint(0, 2, (5, 8, 3), generator=torch.Generator().manual_seed(1)).float()
    targets = torch.arange(8) % 3
    alone = [LOSSES[name](spikes[:, i : i + 1], targets[i : i + 1]) for i in range(8)]
    assert LOSSES[name](spikes, targets).item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_spike_of_the_right_class_is_wanted_and_one_of_another_is_not(name):
    spikes = torch.full((4, 1, 3), 0.5, requires_grad=True)
    LOSSES[name](spikes, torch.tensor([1])).backward()
    assert (spikes.grad[:, :, 1] < 0).all()
    assert (spikes.grad[:, :, [0, 2]] > 0).all()


def test_readings_of_the_same_equation_differ_by_what_they_say():
    """On the final count the order of spikes does not matter, step by step neither; but two spikes at one step are another count."""
    moved = SPIKES[[2, 0, 1]]
    for name in LOSSES:
        assert LOSSES[name](moved, RIGHT).item() == pytest.approx(LOSSES[name](SPIKES, RIGHT).item())
    silent_then_busy = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]])
    for name in ("cross_entropy_count", "mse_count", "squat_mse_count", "squat_ce_count"):
        assert LOSSES[name](silent_then_busy, RIGHT) == LOSSES[name](SPIKES, RIGHT)
    for name in ("squat_mse", "squat_ce"):
        assert LOSSES[name](silent_then_busy, RIGHT) != LOSSES[name](SPIKES, RIGHT)


def test_a_training_names_its_loss_and_its_rates():
    for name in LOSSES:
        assert criterion(Training(epochs=1, loss=name))(SPIKES, RIGHT) == LOSSES[name](SPIKES, RIGHT)
    for name in get_args(MeanSquareName):
        training = Training(epochs=1, loss=name, correct_rate=0.75, incorrect_rate=0.25)
        assert criterion(training)(SPIKES, RIGHT) == LOSSES[name](SPIKES, RIGHT, 0.75, 0.25)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("cross_entropy_count", "ce_count_loss", {}),
        ("squat_ce", "ce_rate_loss", {}),
        ("mse_count", "mse_count_loss", {"correct_rate": 0.75, "incorrect_rate": 0.25}),
    ],
)
def test_equal_to_snntorch(ours, theirs, options):
    functional = pytest.importorskip("snntorch.functional", reason="the peer snnTorch is not installed")
    spikes = torch.randint(0, 2, (8, 16, 10), generator=torch.Generator().manual_seed(2)).float()
    targets = torch.randint(0, 10, (16,), generator=torch.Generator().manual_seed(3))
    assert LOSSES[ours](spikes, targets, **options).item() == pytest.approx(getattr(functional, theirs)(**options)(spikes, targets).item())
