"""The form for grids that follow every step against its reference: spikes and membranes bit for bit, gradients to rounding."""

import itertools

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, State, lif_scan, scan
from spikequant.numerics.kernels import lif_ranging

CHOICES = list(itertools.product(["scale", "relax", "relax_input"], ["subtract", "value", "none"], ["now", "next"], [True, False]))


def drawn(still: bool, laid_last: bool) -> tuple[Tensor, Tensor]:
    current = 0.8 * torch.randn(1 if still else 5, 3, 6, 5, 4)
    start = torch.randn(3, 6, 5, 4)
    return (current.permute(0, 1, 4, 2, 3), start.permute(0, 3, 1, 2)) if laid_last else (current, start)


@pytest.mark.parametrize("last", [False, True], ids=["before it fires", "after its reset"])
def test_every_form_that_it_covers(each_step: State, last: bool) -> None:
    """What is rounded last is squashed too, and passes its gradient as Q-SNN's and SpQuant's membranes do."""
    fired, given = 0, each_step
    if last:
        given = each_step._replace(snapped="after_reset", squash=True, gradient="stacked" if each_step.gradient == "mask" else "pass")
    for number, (charge, reset, timing, detached) in enumerate(CHOICES):
        still, has_start = number % 3 == 0, number % 2 == 0
        current, start = drawn(still, laid_last=number % 5 == 0)
        d = Dynamics(torch.tensor(1.0), charge, 0.9, 2.0, reset=reset, reset_timing=timing, detach_reset=detached)
        assert lif_ranging.fits(current, d, given, None)
        found = []
        for form in (scan.lif_scan, lif_ranging.lif_scan):
            leaves = [each.clone().requires_grad_() for each in ((current, start) if has_start else (current,))]
            spikes, last = form(leaves[0], d, given, leaves[1] if has_start else None, steps=4 if still else None)
            loss = (spikes * torch.linspace(-1, 1, spikes.numel()).view(spikes.shape)).sum() + (last * last).sum()
            found.append((spikes, last, torch.autograd.grad(loss, leaves)))
        (spikes, last, gradients), (own_spikes, own_last, own_gradients) = found
        assert torch.equal(spikes, own_spikes), (charge, reset, timing)
        assert torch.equal(last, own_last), (charge, reset, timing)
        for one, other in zip(gradients, own_gradients, strict=True):
            torch.testing.assert_close(other, one, atol=2e-4, rtol=1e-3, msg=str((charge, reset, timing, detached)))
        fired += int(spikes.sum())
    assert fired > 500


def test_what_it_does_not_cover(few_levels: State) -> None:
    current, d, held = torch.ones(2, 1, 3), Dynamics(torch.tensor(1.0)), few_levels
    others = [held._replace(snapped="both"), held._replace(gradient="stacked"), held._replace(squash=True), held._replace(wrap=True)]
    others.append(held._replace(grid=held.grid._replace(scope="sample")))
    others.append(held._replace(snapped="after_reset", wrap=True))
    for other in [None, *others]:
        assert not lif_ranging.fits(current, d, other, None)
    assert not lif_ranging.fits(current, d, held, lambda step, like: like)
    assert not lif_ranging.fits(current.double(), d, held, None)


def test_it_is_chosen_and_counts_spikes(monkeypatch: pytest.MonkeyPatch, few_levels: State) -> None:
    calls = []
    form = lif_ranging.lif_scan
    monkeypatch.setattr(lif_ranging, "lif_scan", lambda *given: calls.append(1) or form(*given))
    counts = torch.empty(1, 3)
    spikes, _ = lif_scan(torch.tensor([0.5, 1.0, 3.0]).expand(4, 1, 3), Dynamics(torch.tensor(1.0)), few_levels, counts=counts)
    assert calls == [1]
    assert torch.equal(counts, spikes.sum(0))


def test_nan_is_refused(few_levels: State) -> None:
    current = torch.ones(3, 1, 4)
    current[1, 0, 2] = torch.nan
    with pytest.raises(SpecError, match="holds 1 NaN"):
        lif_ranging.lif_scan(current, Dynamics(torch.tensor(1.0)), few_levels, None)
