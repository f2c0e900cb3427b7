"""The C twin of ``compact`` against its reference."""

import math

import pytest
import torch
from torch import Tensor

from spikequant.numerics import compacting
from spikequant.numerics.kernels import compacting_native

OTHERS = [0.5, -1.0, 256.0, 255.5, 2.0**31, -(2.0**32), math.inf, -math.inf, math.nan]


FORMS = {
    "dense": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "one": lambda x: x[0, 0, 0, :1],
    "scalar": lambda x: x[0, 0, 0, 0],
}


def wholes(form: str = "dense") -> Tensor:
    return FORMS[form](torch.randint(0, 256, (5, 3, 17, 41)).float())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("threads", [1, 3])
def test_whole_numbers_are_the_references_and_come_back(form: str, threads: int) -> None:
    x, before = wholes(form), torch.get_num_threads()
    torch.set_num_threads(threads)
    small = compacting_native.compact(x)
    torch.set_num_threads(before)
    assert compacting_native.fits(x)
    assert small is not None
    assert torch.equal(small, x.byte())
    assert small.stride() == x.stride()
    assert torch.equal(compacting_native.expanded(small), x)
    assert compacting_native.expanded(small).stride() == x.stride()


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("place", [0, 700, -1])
def test_any_other_value_is_seen_wherever_it_is(other: float, place: int) -> None:
    x = wholes()
    x.view(-1)[place] = other
    assert compacting_native.compact(x) is None
    assert compacting.compact(x) is None


def test_what_is_not_covered() -> None:
    assert not compacting_native.fits(torch.ones(3, dtype=torch.float64))
    assert not compacting_native.fits(torch.ones(4, 6)[:, ::2])
    assert not compacting_native.fits(torch.ones(0))
