import os
import shutil

import pytest
import torch

from spikequant.numerics import State
from spikequant.numerics.kernels.native import kernels_in_use, library
from spikequant.quantizers import ThresholdCentered, Uniform
from spikequant.quantizers.following import Following

EACH_STEP = [
    ThresholdCentered(bits=4, range="step_batch"),
    ThresholdCentered(bits=8, range="step_batch"),
    ThresholdCentered(bits=3, range="step_batch", zero=True, on_threshold=True, decay=0.75),
    Uniform(bits=2, range="step_batch"),
    Uniform(bits=8, range="step_batch", gradient="mask", rounding="half_up"),
]


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


@pytest.fixture(params=EACH_STEP, ids=lambda spec: spec.label() + f" {spec.width}")
def each_step(request: pytest.FixtureRequest) -> State:
    """A state whose range follows each step."""
    spec = request.param
    return State(Following(spec, (), 0).ranging, spec.rounding_rule, spec.gradient)


@pytest.fixture
def few_levels() -> State:
    """One of these states, on two bits."""
    return State(Following(EACH_STEP[3], (), 0).ranging)
