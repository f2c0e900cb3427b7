"""Small networks and batches that the tests of recipes quantize."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikequant.models import Network, build

Batch = tuple[Tensor, Tensor]


@pytest.fixture
def model() -> Network:
    """The digits network, small, its untrained layers loud enough that all of them fire."""
    network = build("digits", width=4).eval()
    for norm in (network.norm1, network.norm2):
        norm.weight.data.fill_(3.0)
        norm.bias.data.fill_(0.5)
    return network


@pytest.fixture
def loader() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(6, 1, 8, 8, generator=generator), torch.arange(6)) for _ in range(3)]


@pytest.fixture
def step() -> Callable[[Network, Batch], Tensor]:
    """One step of training with a plain optimizer."""

    def run(network: Network, batch: Batch) -> Tensor:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss = torch.nn.functional.cross_entropy(network.train()(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run
