"""The libraries that ours is compared with; where one is absent its tests are skipped, with the reason."""

import warnings
from types import ModuleType

import pytest
import torch
from torch import Tensor


def peer(*names: str) -> ModuleType:
    """The last of these modules; peers warn while they are imported, which is not our affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = [pytest.importorskip(name, exc_type=ImportError) for name in names]
    return modules[-1]


@pytest.fixture(scope="session")
def spikingjelly() -> ModuleType:
    return peer("spikingjelly.activation_based.surrogate", "spikingjelly.activation_based.neuron")


@pytest.fixture(scope="session")
def snntorch() -> ModuleType:
    return peer("snntorch.functional.quant", "snntorch.surrogate", "snntorch")


@pytest.fixture(scope="session")
def norse() -> ModuleType:
    return peer("norse.torch.functional.iaf", "norse.torch.functional.lif_box", "norse.torch.functional")


@pytest.fixture(scope="session")
def brevitas() -> ModuleType:
    return peer("brevitas.quant", "brevitas.nn")


@pytest.fixture
def current() -> Tensor:
    """``[time, batch, channel, height, width]``, strong enough that neurons fire in about a third of the steps."""
    return torch.randn(16, 3, 4, 5, 5, generator=torch.Generator().manual_seed(0)) * 1.5 + 0.6
