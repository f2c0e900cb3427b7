import pytest
import torch

from spikequant.numerics.kernels.native import library


@pytest.fixture(autouse=True)
def _native_and_seeded() -> None:
    if library() is None:
        pytest.skip("no C library: neither shipped nor compiled here")
    torch.manual_seed(0)
