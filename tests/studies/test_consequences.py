import numpy as np
import pytest
import torch

from spikequant.behavior import Firing, LayerFiring
from spikequant.data import Batches, load
from spikequant.models import Network, build
from spikequant.studies.consequences import emd_to_others, noisy_accuracy
from spikequant.training import evaluate


@pytest.fixture
def network() -> Network:
    made = build("digits", width=2, time=2)
    for norm in ("norm1", "norm2"):  # so that it fires without having been trained
        torch.nn.init.constant_(made.get_submodule(norm).weight, 4.0)
    return made.eval()


@pytest.fixture
def images() -> Batches:
    data = load("digits")
    return Batches(data.test, 60, data.scale)


def fired(*layers: tuple[int, ...]) -> Firing:
    return Firing(tuple(LayerFiring(str(i), np.array([counts]), np.array([4]), 1, 4) for i, counts in enumerate(layers)), 1)


def test_the_distance_to_others_is_the_mean_over_layers_and_networks() -> None:
    # Layer distances .5 and 0 to the first, 1 and .5 to the second.
    assert emd_to_others(fired((0,), (2,)), [fired((2,), (2,)), fired((4,), (4,))]) == pytest.approx(0.5)


def test_every_call_sees_the_same_noise_and_none_is_no_change(network: Network, images: Batches) -> None:
    assert noisy_accuracy(network, images) == noisy_accuracy(network, images)
    assert noisy_accuracy(network, images, deviation=0.0) == evaluate(network, images)


def test_strong_noise_leaves_chance() -> None:
    data = load("digits")
    network, images = build("digits", width=8), Batches(data.test, 360, data.scale)
    from spikequant.training import Training, fit

    fit(network, Batches(data.train, 64, data.scale, seed=0), Training(epochs=2, lr=0.01))
    assert noisy_accuracy(network, images, 0.0) > 0.6 > 0.5 > noisy_accuracy(network, images, 10.0)
