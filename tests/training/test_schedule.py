import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from spikequant.quantizers import QSNNBinary
from spikequant.quantizers.baselines import Standardized
from spikequant.training import fit
from spikequant.training.schedule import learning_rate
from spikequant.training.spec import Training


def test_cosine_falls_from_lr_to_zero_over_all_steps():
    training = Training(epochs=1, lr=0.5)
    assert [learning_rate(training, step, 4) for step in range(5)] == pytest.approx([0.5, 0.4267767, 0.25, 0.0732233, 0.0], abs=1e-7)


def test_cosine_is_that_of_torch():
    training, optimizer = Training(epochs=1, lr=0.5), torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for step in range(10):
        assert learning_rate(training, step, 10) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_constant_stays_and_needs_no_total():
    assert [learning_rate(Training(epochs=1, lr=0.5, schedule="constant"), step, None) for step in (0, 99)] == [0.5, 0.5]


def test_warmup_rises_linearly_and_cosine_takes_the_rest():
    training = Training(epochs=1, lr=1.0, warmup_steps=4)
    rates = [learning_rate(training, step, 8) for step in range(9)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == [learning_rate(Training(epochs=1, lr=1.0), step, 4) for step in range(5)]


def test_a_loader_longer_than_it_said_ends_at_zero():
    assert learning_rate(Training(epochs=1), 12, 10) == pytest.approx(0.0, abs=1e-12)


def test_a_training_tells_its_grids_how_far_it_is() -> None:
    heard: list[float] = []

    class Hears(Standardized):
        def advance(self, done: float) -> None:
            heard.append(done)

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Hears(QSNNBinary(), (2, 2), 0))
    fit(layer, [(torch.eye(2), torch.tensor([0, 1]))], Training(epochs=4))
    assert heard == [0.0, 0.25, 0.5, 0.75]
