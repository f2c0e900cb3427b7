"""bfloat16 layers computed in float32: what autocast gives, but for the order of sums."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from spikequant.numerics import conv2d, linear
from spikequant.numerics.kernels import events_native, wide_torch


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without instructions for bfloat16, whatever runs the test."""
    monkeypatch.setattr(wide_torch, "lacks_half", lambda: True)


def gradients(run: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """The output under autocast, and the gradients of all inputs."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(*leaves)
    torch.manual_seed(1)
    return found, *torch.autograd.grad((found.float() * torch.randn(found.shape)).sum(), leaves)


@pytest.mark.usefixtures("lacking")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_that_of_autocast(dtype: torch.dtype, stride: int) -> None:
    x, weight, bias = torch.randn(3, 4, 9, 7).to(dtype), torch.randn(5, 4, 3, 3), torch.randn(5)
    ours = gradients(lambda *each: conv2d(*each, stride, 1), x, weight, bias)
    theirs = gradients(lambda *each: functional.conv2d(*each, stride, 1), x, weight, bias)
    for found, expected in zip(ours, theirs, strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0.1)


@pytest.mark.usefixtures("lacking")
def test_a_linear_layer_is_that_of_autocast() -> None:
    inputs = torch.randn(6, 40), torch.randn(3, 40), torch.randn(3)
    for found, expected in zip(gradients(linear, *inputs), gradients(functional.linear, *inputs), strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0.1)


@pytest.mark.usefixtures("lacking")
def test_sums_are_of_rounded_numbers_and_rounded_once() -> None:
    x, weight = torch.tensor([[1.0, 2.0**-12]]), torch.tensor([[1.0 + 2.0**-10, 2.0**12]])  # exact: 2 + 2^-10
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight).item() == 2.0
    assert linear(x, weight).item() == 2.0 + 2.0**-10


@pytest.mark.usefixtures("lacking")
def test_only_what_autocast_makes_bfloat16_fits() -> None:
    x = torch.ones(1, 1)
    assert not wide_torch.fits(x)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not wide_torch.fits(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert wide_torch.fits(x)
        assert not wide_torch.fits(x.double())


@pytest.mark.usefixtures("lacking")
def test_so_is_the_gradient_of_spikes_that_go_event_by_event() -> None:
    def expected(x: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return functional.conv2d(x.float(), weight.bfloat16().float(), padding=1).bfloat16()

    inputs = (torch.rand(8, 32, 16, 16) < 0.05).bfloat16(), torch.randn(32, 32, 3, 3)
    ours = gradients(lambda *each: events_native.conv2d(*each, None, events_native.Form(3, 1)), *inputs)
    for found, theirs in zip(ours, gradients(expected, *inputs), strict=True):
        assert found.dtype == theirs.dtype
        torch.testing.assert_close(found, theirs, rtol=2**-7, atol=2**-7)
