import os
import shutil

import pytest
import torch

from spikequant.numerics.kernels.native import kernels_in_use, library


@pytest.fixture(autouse=True)
def _native_and_seeded() -> None:
    if library() is None:
        # With a compiler at hand a missing library is a fault of ours, and a skip would hide it.
        wanted_off = os.environ.get("SPIKEQUANT_KERNELS") == "torch"
        answer = pytest.skip if wanted_off or shutil.which(os.environ.get("CC", "cc")) is None else pytest.fail
        answer(f"no C library: {kernels_in_use().problem or kernels_in_use().origin}")
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
