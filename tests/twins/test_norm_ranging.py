"""Batch norm, neuron and what follows on grids of each step: spikes of the reference bit for bit, gradients to rounding."""

import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, Norm, State, Tail, norm, norm_scan_fits
from spikequant.numerics.kernels import norm_native, norm_ranging

CHOICES = list(itertools.product(["scale", "relax", "relax_input"], ["subtract", "value", "none"], ["now", "next"], [True, False]))
fused = partial(norm_native.norm_scan, run=norm_ranging.run)
SIZES = [(1, (5, 7)), (2, (6, 4)), (3, (6, 9))]


def run(twin: Any, given: tuple[Tensor, ...], neuron: tuple[Dynamics, State], steps: int | None, tail: Tail) -> tuple[Tensor, ...]:
    """Spikes, counts, and gradients of current, scale and shift."""
    current, scale, shift = (each.clone().requires_grad_() for each in given)
    wide = current.detach().float()
    mean, inverse = wide.mean((0, 1, 3, 4)), wide.var((0, 1, 3, 4), unbiased=False).rsqrt()
    counts = torch.zeros(current.shape[1:3])
    spikes = twin(current, Norm(scale, shift, mean, inverse), *neuron, steps, tail._replace(counts=counts))
    weight = torch.linspace(-1, 1, spikes.numel()).reshape(spikes.shape).to(spikes.dtype)
    return spikes.detach(), counts, *torch.autograd.grad((spikes * weight).sum(), [current, scale, shift])


@pytest.mark.parametrize("dtype", norm_native.DTYPES, ids=["float32", "bfloat16"])
def test_every_form_that_it_covers(each_step: State, dtype: torch.dtype) -> None:
    fired = 0.0
    for number, (charge, reset, timing, detached) in enumerate(CHOICES):
        (pool, size), still, has_branch = SIZES[number % 3], number % 4 == 0, number % 2 == 0
        current = (1.5 * torch.randn(1 if still else 5, 3, 8, *size)).to(dtype)
        d = Dynamics(torch.rand(1, 8, 1, 1) / 2 + 0.5, charge, 0.9, 2.0, reset=reset, reset_timing=timing, detach_reset=detached)
        branch = torch.randint(3, (5, 3, 8, *size)).to(dtype) if has_branch and pool == 1 else None
        tail = Tail(pool, branch)
        assert norm_ranging.fits(current, d, each_step, tail)
        assert norm_scan_fits(current, d, each_step, tail)
        given = current, torch.rand(8) + 0.5, torch.randn(8) / 4
        expected, found = (run(twin, given, (d, each_step), 5 if still else None, tail) for twin in (norm.norm_scan, fused))
        assert torch.equal(found[0], expected[0]), (charge, reset, timing)
        assert torch.equal(found[1], expected[1]), (charge, reset, timing)
        for one, other in zip(expected[2:], found[2:], strict=True):
            step = 2**-7 if one.dtype == torch.bfloat16 else 2e-4
            torch.testing.assert_close(other, one, atol=step * max(1, float(one.abs().max()) / 4), rtol=5 * step)
        fired += float(expected[1].sum())
    assert fired > 500


def test_what_it_does_not_cover(few_levels: State) -> None:
    current, d, held = torch.ones(2, 1, 3, 6, 7), Dynamics(torch.tensor(1.0)), few_levels
    assert not norm_ranging.fits(current, d, held, Tail(2))  # the last column lies in no window
    assert not norm_ranging.fits(current.double(), d, held, Tail())
    for other in (None, held._replace(snapped="both"), held._replace(grid=held.grid._replace(scope="sample"))):
        assert not norm_ranging.fits(current, d, other, Tail())


@pytest.mark.parametrize(("value", "said"), [(torch.nan, "holds 1 NaN"), (torch.inf, "NaN or infinite")])
def test_what_is_not_finite_is_refused(value: float, said: str, few_levels: State) -> None:
    current = torch.ones(3, 1, 4, 2, 2)
    current[1, 0, 2, 1, 1] = value
    with pytest.raises(SpecError, match=said):
        fused(current, Norm(torch.ones(4), torch.zeros(4)), Dynamics(torch.tensor(1.0)), few_levels)
