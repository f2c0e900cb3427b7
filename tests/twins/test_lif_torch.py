"""The form without C against the reference: spikes and membranes bit for bit, gradients to rounding."""

import itertools

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, Grid, State, Surrogate, affine, lif_scan, scan, table
from spikequant.numerics.kernels import lif_native, lif_torch

GRIDS: dict[str, Grid | None] = {
    "none": None,
    "off zero": affine(-1.0, 1.2, 16),
    "unsigned 8 bits": affine(0.0, 1.3, 256),
    "table": table(torch.linspace(-1, 1.5, 13) ** 3),
}
FORMS = list(
    itertools.product(
        ["scale", "relax_input"], [("subtract", 0.0), ("value", 0.0), ("value", 0.1)], ["now", "next"], [">=", ">"], [True, False], GRIDS
    )
)


def drawn(index: int, still: bool) -> tuple[Tensor, Tensor | None, Dynamics]:
    generator = torch.Generator().manual_seed(index)
    current = torch.randn(1 if still else 5, 3, 4, 7, generator=generator)
    start = torch.randn(3, 4, 7, generator=generator) if index % 3 else None
    shape = [1, 4, 1] if index % 2 else []
    threshold, decay = torch.rand(shape, generator=generator) + 0.5, torch.rand(shape, generator=generator)
    kind = ["arctan", "sigmoid", "fast_sigmoid", "triangle", "squat"][index % 5]
    return current, start, Dynamics(threshold, decay=decay, tau=2.5, gain=0.7 if index % 4 else 1.0, surrogate=Surrogate(kind, 1.5))


@pytest.mark.parametrize("still", [False, True])
def test_every_form_that_it_covers(still: bool) -> None:
    fired = 0
    for index, (charge, (reset, value), timing, compare, detached, grid) in enumerate(FORMS):
        current, start, d = drawn(index, still)
        chosen = {"charge": charge, "reset": reset, "reset_value": value, "reset_timing": timing, "compare": compare}
        d = d._replace(detach_reset=detached, **chosen)  # type: ignore[arg-type]
        held = GRIDS[grid]
        state = None if held is None else State(held)
        assert lif_torch.fits(current, d, state, None)
        found = []
        for twin in (scan.lif_scan, lif_torch.lif_scan):
            leaves = [each.clone().requires_grad_() for each in (current, start) if each is not None]
            spikes, last = twin(leaves[0], d, state, leaves[1] if start is not None else None, steps=4 if still else None)
            loss = (spikes * torch.linspace(-1, 1, spikes.numel()).view_as(spikes)).sum() + (last * last).sum()
            found.append((spikes, last, torch.autograd.grad(loss, leaves)))
        (spikes, last, gradients), (own_spikes, own_last, own_gradients) = found
        assert torch.equal(spikes, own_spikes), (index, chosen)
        assert torch.equal(last, own_last), (index, chosen)
        for one, other in zip(gradients, own_gradients, strict=True):
            torch.testing.assert_close(other, one, atol=2e-4, rtol=1e-3, msg=str((index, chosen)))
        fired += int(spikes.sum())
    assert fired > 1000


def test_without_gradients_nothing_is_kept_and_all_is_the_same() -> None:
    current, start, d = drawn(1, still=False)
    for timing in ("now", "next"):
        d = d._replace(reset_timing=timing)  # type: ignore[arg-type]
        for one, other in zip(lif_torch.lif_scan(current, d, None, start), scan.lif_scan(current, d, None, start), strict=True):
            assert torch.equal(one, other)


def test_it_runs_where_there_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    current, d, calls = torch.ones(2, 1, 3), Dynamics(torch.tensor(1.0)), list[str]()
    monkeypatch.setattr(lif_native, "fits", lambda *given: False)
    monkeypatch.setattr(lif_torch, "lif_scan", lambda *given: calls.append("torch") or scan.lif_scan(*given[:4], steps=given[4]))
    lif_scan(current, d)
    lif_scan(current, d._replace(charge="shift"))
    assert calls == ["torch"]


def test_nan_is_refused_with_its_count() -> None:
    with pytest.raises(SpecError, match="holds 1 NaN"):
        lif_torch.lif_scan(torch.tensor([[[1.0, torch.nan]]]), Dynamics(torch.tensor(1.0)), None, None)


@pytest.mark.parametrize("name", ["threshold", "decay"])
def test_no_backward_goes_by_what_was_changed_after_the_spikes(name: str) -> None:
    constants = {"threshold": torch.tensor(0.7), "decay": torch.tensor(0.9)}
    current = torch.ones(3, 2, 5, requires_grad=True)
    spikes, _ = lif_torch.lif_scan(current, Dynamics(**constants), None, None)  # type: ignore[arg-type]
    constants[name].mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_on_the_processor_serves_neurons_on_a_gpu(grid: str) -> None:
    state = None if GRIDS[grid] is None else State(GRIDS[grid])  # type: ignore[arg-type]
    current, d = torch.randn(5, 3, 7), Dynamics(torch.tensor(0.7), decay=0.9)
    spikes, last = lif_torch.lif_scan(current.cuda(), d._replace(threshold=d.threshold.cuda()), state, None)
    expected, expected_last = scan.lif_scan(current, d, state)
    assert torch.equal(spikes.cpu(), expected)
    assert torch.equal(last.cpu(), expected_last)
