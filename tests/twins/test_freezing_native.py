"""The C twin of ``mixed`` against its reference: same values, same gradients, bit for bit."""

import math

import pytest
import torch
from torch import Tensor

from spikequant.numerics import freezing
from spikequant.numerics.kernels import freezing_native

SPECIAL = torch.tensor([1.0, -1.0, 0.0, -0.0, math.nextafter(1.0, 2.0), math.inf, -math.inf, math.nan])


def values(*shape: int) -> Tensor:
    x = 1.5 * torch.randn(shape)
    x.view(-1)[: len(SPECIAL)] = SPECIAL
    return x


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("form", ["dense", "channels last", "weights", "long"])
def test_values_and_gradients_are_equal(form: str, straight_through: bool) -> None:
    x = {"dense": values(5, 3, 7, 9), "channels last": values(5, 3, 7, 9), "weights": values(6, 11), "long": values(3, 70_001)}[form]
    if form == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    frozen = torch.rand(x.shape if form == "weights" else x.shape[1:]) < 0.5
    x, hard, upstream = x.requires_grad_(), torch.where(x.detach() < 0, -1.0, 1.0), torch.randn_like(x)
    assert freezing_native.fits(x, hard, frozen)
    expected, found = (run(x, hard, frozen, straight_through) for run in (freezing.mixed, freezing_native.mixed))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0, equal_nan=True)
    assert found.stride() == x.stride()
    assert torch.equal(*(torch.autograd.grad(each, x, upstream)[0] for each in (expected, found)))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x, frozen, threads, found = values(4, 100_000), torch.rand(100_000) < 0.5, torch.get_num_threads(), []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        found.append(freezing_native.mixed(x, x.sign(), frozen))
    torch.set_num_threads(threads)
    assert all(torch.equal(found[0].nan_to_num(7), each.nan_to_num(7)) for each in found[1:])


def test_what_is_not_covered() -> None:
    x, frozen = values(4, 6, 8), torch.ones(6, 8, dtype=torch.bool)
    assert freezing_native.fits(x, x.sign(), frozen)
    assert not freezing_native.fits(x.bfloat16(), x.sign().bfloat16(), frozen)
    assert not freezing_native.fits(x, x.sign().double(), frozen)
    assert not freezing_native.fits(x, x.sign().transpose(0, 1).contiguous().transpose(0, 1), frozen)
    assert not freezing_native.fits(x.transpose(0, 1), x.sign().transpose(0, 1), torch.ones(4, 8, dtype=torch.bool))
    assert not freezing_native.fits(x, x.sign(), frozen[:1])
    assert not freezing_native.fits(x[:, ::2], x.sign()[:, ::2], frozen[::2])
    assert not freezing_native.fits(x, x.sign(), frozen.float())
