"""The C twin of ``lif_scan`` against its reference: spikes and membranes bit for bit, gradients to rounding."""

import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Affine, Dynamics, Grid, State, Surrogate, Table, affine, integers, lif_scan, scan, snap, table
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.surrogate import DERIVATIVES

GRIDS: dict[str, Grid | None] = {
    "none": None,
    "affine": affine(-1.0, 1.0, 16),
    "unsigned 8 bits": affine(0.0, 1.3, 256),
    "off zero": affine(-1.0, 1.2, 16),
    "few levels": table(torch.linspace(-1, 1.5, 13) ** 3),
    "many levels": table(torch.linspace(-1.2, 1.5, 200) ** 3),
}
FIELDS = {
    "charge": ["scale", "relax", "relax_input", "shift", "shift_min1", "multiply_shift"],
    "reset": ["subtract", "value", "none"],
    "reset_timing": ["now", "next"],
    "compare": [">=", ">"],
    "compare_at": ["stored", "full"],
    "detach_reset": [True, False],
    "leak_rounding": ["floor", "trunc", "half_up"],
    "state_shift": [0, 2],
    "grid": list(GRIDS),
    "rounding": ["nearest_even", "half_up", "truncate"],
    "snapped": ["before_fire", "after_reset", "both"],
    "gradient": ["pass", "mask", "stacked"],
    "surrogate": ["arctan", "sigmoid", "fast_sigmoid", "triangle", "squat"],
    "shape": [(1, 1, 1), (5, 3, 4, 7), (4, 2, 3, 5, 5), (7, 600), (3, 2, 700)],
    "start": [True, False],
    "still": [True, False],
}


def settings(count: int) -> list[dict[str, object]]:
    """Random settings in which every pair of values of two fields occurs many times."""
    draw = random.Random(0)
    return [{name: draw.choice(values) for name, values in FIELDS.items()} for _ in range(count)]


def dynamics(s: dict, channels: int, per_channel: bool) -> Dynamics:
    shape = [1, channels, *[1] * (len(s["shape"]) - 3)] if per_channel else []
    threshold, decay = (torch.rand(shape) + 0.5, torch.rand(shape)) if per_channel else (torch.tensor(1.0), torch.tensor(0.9))
    names = ("charge", "reset", "reset_timing", "compare", "compare_at", "detach_reset", "leak_rounding", "state_shift")
    chosen = {name: s[name] for name in names}
    value = 0.1 if s["reset"] == "value" else 0.0
    surrogate = Surrogate(s["surrogate"], 1.5, 0.75 if per_channel else 1.0)
    return Dynamics(threshold, decay=decay, tau=2.0, gain=0.7, multiplier=3, shift=2, reset_value=value, surrogate=surrogate, **chosen)


def both(s: dict, index: int) -> list[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
    """Spikes, last membrane and gradients of the reference and of the twin."""
    shape = s["shape"]
    steps = 4 if s["still"] else None
    current = (0.8 * torch.randn(1 if s["still"] else shape[0], *shape[1:])).requires_grad_()
    start = torch.randn(shape[1:]).requires_grad_() if s["start"] else None
    grid = GRIDS[s["grid"]]
    rounding = "nearest_even" if s["grid"] in ("few levels", "many levels") else s["rounding"]
    gradient = "pass" if s["gradient"] == "stacked" and isinstance(grid, Table) else s["gradient"]
    state = None if grid is None else State(grid, rounding, gradient, s["snapped"])
    d = dynamics(s, shape[2] if len(shape) > 2 else 1, per_channel=index % 2 == 1 and len(shape) > 2)
    inputs = [current] if start is None else [current, start]
    if index % 3 == 0:
        inputs.append(d.threshold.requires_grad_())
        if isinstance(grid, Affine) and state is not None:
            inputs.append(grid.step.clone().requires_grad_())
            state = state._replace(grid=grid._replace(step=inputs[-1]))
    assert lif_native.fits(current, d, state, None)
    found = []
    weights: list[Tensor] = []
    for twin in (scan.lif_scan, lif_native.lif_scan):
        spikes, last = twin(current, d, state, start, steps=steps)
        weights = weights or [torch.randn_like(spikes), torch.randn_like(last)]
        loss = (spikes * weights[0]).sum() + (last * weights[1]).sum()
        found.append((spikes, last, torch.autograd.grad(loss, inputs, materialize_grads=True)))
    return found


@pytest.mark.parametrize("part", range(8))
def test_every_field_of_dynamics_and_state(part: int) -> None:
    fired = 0
    for index, s in enumerate(settings(800)[part::8]):
        (spikes, last, gradients), (twin_spikes, twin_last, twin_gradients) = both(s, index)
        assert torch.equal(spikes, twin_spikes), s
        assert torch.equal(last, twin_last), s
        for gradient, twin_gradient in zip(gradients, twin_gradients, strict=True):
            torch.testing.assert_close(twin_gradient, gradient, atol=2e-4, rtol=1e-3, msg=str(s))
        fired += int(spikes.sum())
    assert fired > 1000


def test_channels_last_images_stay_so_and_agree() -> None:
    current = torch.randn(4, 2, 6, 5, 3).permute(0, 1, 4, 2, 3)
    d = Dynamics(torch.rand(1, 3, 1, 1) + 0.5, decay=torch.rand(1, 3, 1, 1))
    for start in (None, torch.randn(2, 3, 6, 5)):
        spikes, last = lif_native.lif_scan(current, d, None, start)
        expected, expected_last = scan.lif_scan(current, d, None, start)
        assert torch.equal(spikes, expected)
        assert torch.equal(last, expected_last)
        assert spikes.stride() == current.stride()


@pytest.mark.parametrize("grid", ["affine", "unsigned 8 bits", "few levels", "many levels"])
@pytest.mark.parametrize("timing", ["now", "next"])
def test_gradients_by_codes_are_those_by_computing_again(grid: str, timing: str) -> None:
    held, c = GRIDS[grid], lif_native.library()
    assert held is not None
    assert c is not None
    current, upstream = torch.randn(7, 3, 700), torch.randn(7, 3, 700)
    d = Dynamics(torch.tensor(0.4), decay=0.5, reset_timing=timing, detach_reset=False)  # type: ignore[arg-type]
    call = lif_native.Call(current, 1, d, State(held), None)
    _, _, codes = lif_native.run_forward(c, call, current, None, keep=True)
    assert codes is not None
    by_codes, again = (lif_native.run_backward(c, call, kept, upstream, None)[:2] for kept in ((None, codes, None), (current, None, None)))
    for one, other in zip(by_codes, again, strict=True):
        assert one.abs().sum() > 0
        assert torch.equal(one, other)


@pytest.mark.parametrize("grid", [None, affine(-6.0, 6.0, 16), affine(-60.0, 60.0, 256)])
@pytest.mark.parametrize("kind", sorted(DERIVATIVES))
def test_slopes_are_those_of_the_equations_far_from_the_threshold_too(kind: str, grid: Grid | None) -> None:
    current = torch.cat([torch.linspace(-60, 60, 1201), torch.tensor([-1e30, 1e30])]).reshape(1, 1, -1).requires_grad_()
    state = None if grid is None else State(grid)
    spikes, _ = lif_native.lif_scan(current, Dynamics(torch.tensor(0.75), surrogate=Surrogate(kind, 3.0)), state, None)
    (slopes,) = torch.autograd.grad(spikes.sum(), current)
    seen = current.detach() if grid is None else snap(grid, current.detach())
    expected = DERIVATIVES[kind](-(seen.double() - 0.75).abs(), 3.0)  # all are even, and 1 - sigmoid is exact on this side
    torch.testing.assert_close(slopes, expected.float(), rtol=2e-5 if kind == "sigmoid" else 1e-6, atol=1e-30)


@pytest.mark.parametrize("shape", [(1, 2, 3), (5, 3, 900), (4, 2, 3, 5, 5)])
def test_spikes_are_counted_by_the_way(shape: tuple[int, ...]) -> None:
    current, d = 2 * torch.randn(shape), Dynamics(torch.tensor(1.0), decay=0.9)
    images = len(shape) == 5
    for each in (current, current.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)) if images else (current,):
        counts = torch.empty(shape[1:])
        spikes, _ = lif_scan(each, d, counts=counts)
        assert counts.sum() > 0
        assert torch.equal(counts, spikes.sum(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_are_filled_however_they_lie(dtype: torch.dtype) -> None:
    current = 2 * torch.randn(6, 5, 3).transpose(1, 2)
    counts = torch.empty_like(current[0], dtype=dtype)
    assert not counts.is_contiguous()
    spikes, _ = lif_scan(current, Dynamics(torch.tensor(1.0), decay=0.9), counts=counts)
    assert torch.equal(counts, spikes.sum(0).to(dtype))


def test_wrapping_integers_agree() -> None:
    grid = integers(1.0, -128, 256)
    current = torch.randint(-300, 300, (6, 4, 50)).float()
    d = Dynamics(torch.tensor(100.0), charge="shift", shift=3)
    for rounding in ("nearest_even", "half_up", "truncate"):
        state = State(grid, rounding, wrap=True)
        assert torch.equal(lif_native.lif_scan(current, d, state, None)[0], scan.lif_scan(current, d, state)[0])


def test_values_on_midpoints_and_rails_agree() -> None:
    grid = affine(-1.0, 1.0, 16)
    edge = torch.linspace(-1.2, 1.2, 73)
    current = torch.cat([edge, torch.nextafter(edge, edge + 1), torch.tensor([torch.inf, -torch.inf])]).reshape(1, 1, -1)
    d = Dynamics(torch.tensor(1.0), decay=0.0)
    for rounding, snapped in itertools.product(("nearest_even", "half_up", "truncate"), ("before_fire", "after_reset")):
        state = State(grid, rounding, snapped=snapped)
        for a, b in zip(lif_native.lif_scan(current, d, state, None), scan.lif_scan(current, d, state), strict=True):
            assert torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("charge", ["scale", "relax_input", "relax"])
@pytest.mark.parametrize("reset", ["subtract", "value", "none"])
@pytest.mark.parametrize("timing", ["now", "next"])
def test_nan_is_refused_with_its_count_and_infinities_are_not(grid: str, charge: Any, reset: Any, timing: Any) -> None:
    """Whatever becomes of a NaN in the steps after it: fired upon, reset, snapped."""
    d = Dynamics(torch.tensor(1.0), charge=charge, decay=torch.tensor(0.0), tau=2.0, reset=reset, reset_timing=timing)
    levels = GRIDS[grid]
    state, current = None if levels is None else State(levels), torch.ones(4, 1, 700)
    current[0, 0, 650], current[1, 0, 650] = torch.inf, -torch.inf
    lif_native.lif_scan(current, d, state, None)
    current[0, 0, 3] = current[1, 0, 600] = torch.nan
    with pytest.raises(SpecError, match="holds 2 NaN"):
        lif_native.lif_scan(current, d, state, None)


def test_threads_change_no_bit() -> None:
    current, d = torch.randn(5, 8, 9000), Dynamics(torch.tensor(1.0), decay=0.9)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(lif_native.lif_scan(current, d, None, None)[1])
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("current", "options"),
    [
        (torch.ones(1, 1, 1, dtype=torch.float64), {}),
        (torch.ones(1, 1, 1), {"decay": torch.tensor(1.0, requires_grad=True)}),
        (torch.ones(1, 2, 3), {"threshold": torch.ones(2, 3)}),
        (torch.ones(1, 1, 1), {"charge": "relax_input", "tau": torch.tensor(2.0, requires_grad=True)}),
        (torch.ones(1, 1, 1), {"reset": "value", "reset_value": torch.tensor(0.5)}),
    ],
)
def test_what_the_twin_does_not_cover_runs_as_the_reference(current: Tensor, options: dict[str, Tensor]) -> None:
    d = Dynamics(**{"threshold": torch.tensor(1.0), **options})
    assert not lif_native.fits(current, d, None, None)
    assert torch.equal(lif_scan(current, d)[0], scan.lif_scan(current, d)[0])


def test_gradients_that_the_twin_does_not_have_are_the_references() -> None:
    """Logistic curves at the midpoints of a table, or past overflow; the step of a grid whose numbers turn over."""
    whole, d = integers(1.0, -2, 5), Dynamics(torch.tensor(1.0))
    moving = whole._replace(step=whole.step.clone().requires_grad_())
    for state in (
        State(table(torch.tensor([0.0, 1.0])), gradient="stacked"),
        State(whole, gradient="stacked", wrap=True),
        State(moving, wrap=True),
    ):
        assert not lif_native.fits(torch.ones(1, 1, 1), d, state, None)
    assert lif_native.fits(torch.ones(1, 1, 1), d, State(moving, gradient="stacked"), None)


@pytest.mark.parametrize("name", ["threshold", "decay", "levels"])
def test_no_backward_goes_by_what_was_changed_after_the_spikes(name: str) -> None:
    """As in the reference; else the gradient would be that of another neuron, and nothing would say so."""
    lent = {"threshold": torch.tensor(0.7), "decay": torch.tensor([0.9]), "levels": torch.linspace(-1, 1, 9)}
    d, state = Dynamics(lent["threshold"], decay=lent["decay"], detach_reset=False), State(Table(lent["levels"]))
    current = torch.ones(3, 2, 5, requires_grad=True)
    spikes, _ = lif_scan(current, d, state)
    lent[name].mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


def test_constants_that_were_made_for_inference_can_be_trained_with() -> None:
    with torch.inference_mode():
        d = Dynamics(torch.tensor(0.7), decay=torch.tensor(0.9))
    current = torch.ones(3, 2, 5, requires_grad=True)
    lif_scan(current, d)[0].sum().backward()
    assert current.grad is not None
