import os

import pytest
import torch

from spikequant.numerics.kernels.native import library


@pytest.fixture(autouse=True)
def _native_and_seeded() -> None:
    if library() is None:
        pytest.skip("no C library: neither shipped nor compiled here")
    torch.manual_seed(0)


if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined


@pytest.fixture(
    params=[
        pytest.param("cpu", id="interpreter", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run compiled here")),
        pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    """Where the Triton twins run: in Triton's interpreter, or on a GPU."""
    return str(request.param)
