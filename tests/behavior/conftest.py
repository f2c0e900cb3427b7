"""Small spiking networks whose spikes a reader can foretell, and batches for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from spikequant.neurons import IF, LIF

Batch = tuple[Tensor, Tensor]


class Relay(nn.Sequential):
    """IF neurons of threshold 1: what comes in as 0 or 1 goes out as it came."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__(*[IF() for _ in range(layers)])


@pytest.fixture
def relay() -> Callable[..., nn.Module]:
    return Relay


@pytest.fixture
def dense() -> Callable[..., nn.Module]:
    """A dense spiking network of 12 inputs from a seed, its channels firing at many rates."""

    def make(seed: int, hidden: int = 24, outputs: int = 6) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        first, second = nn.Linear(12, hidden), nn.Linear(hidden, outputs)
        for linear in (first, second):
            linear.weight.data = torch.randn(linear.weight.shape, generator=generator)
            linear.bias.data = torch.randn(linear.bias.shape, generator=generator)
        return nn.Sequential(first, LIF(decay=0.5), second, LIF(decay=0.5))

    return make


@pytest.fixture
def batches() -> Callable[..., list[Batch]]:
    """Batches of random events ``[4, images, features]`` with labels."""

    def make(count: int = 4, images: int = 16, features: int = 12, seed: int = 0) -> list[Batch]:
        generator = torch.Generator().manual_seed(seed)
        return [(torch.rand(4, images, features, generator=generator), torch.zeros(images, dtype=torch.int64)) for _ in range(count)]

    return make
