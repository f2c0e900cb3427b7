"""A small trained network, and batches to judge candidates by."""

import pytest

from spikequant.data import Batches, hold_out, load
from spikequant.models import Network, build
from spikequant.studies import Loaders
from spikequant.training import Training, fit


@pytest.fixture(scope="session")
def digits_loaders() -> Loaders:
    data = load("digits")
    kept, held = hold_out(data.train, 0.2, seed=0)
    return Loaders(Batches(kept, 64, data.scale, seed=0), Batches(held, 64, data.scale, seed=0))


@pytest.fixture(scope="session")
def digits_network(digits_loaders: Loaders) -> Network:
    network = build("digits", seed=0, width=8)
    fit(network, digits_loaders.train, Training(epochs=3, lr=1e-2))
    return network
