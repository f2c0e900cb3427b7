from collections.abc import Callable

import pytest
import torch
from torch import nn

from spikequant.data.batches import Batches
from spikequant.data.dataset import Split
from spikequant.data.digits import digits


@pytest.fixture(scope="session")
def few_digits() -> Split:
    """256 images of the embedded digits."""
    train = digits().train
    return Split(train.x[:256], train.y[:256])


@pytest.fixture
def batches(few_digits: Split) -> Batches:
    return Batches(few_digits, 64, 16.0, seed=0)


@pytest.fixture
def make_net() -> Callable[..., nn.Sequential]:
    """A net with batch statistics and dropout, so that buffers and drawn numbers matter."""

    def make(width: int = 16, seed: int = 0) -> nn.Sequential:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10)
            )

    return make
