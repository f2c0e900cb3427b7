"""The Triton twin of ``lif_scan`` against its reference: in Triton's interpreter, and compiled on a machine with a GPU.

Spikes and membranes bit for bit, gradients to rounding; the reference always runs on the CPU."""

import random
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Affine, Dynamics, Grid, State, Surrogate, Table, affine, lif_scan, scan, table

pytest.importorskip("triton", reason="Triton, which comes with torch's CUDA wheels, is not installed")

from spikequant.numerics.kernels import lif_triton

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
    "shape": [(1, 1, 1), (5, 3, 4, 7), (4, 2, 3, 5, 5), (6, 130), (3, 2, 300)],
    "start": [True, False],
    "still": [True, False],
}


def settings(count: int) -> list[dict]:
    draw = random.Random(1)
    return [{name: draw.choice(values) for name, values in FIELDS.items()} for _ in range(count)]


def dynamics(s: dict, channels: int, per_channel: bool) -> Dynamics:
    shape = [1, channels, *[1] * (len(s["shape"]) - 3)] if per_channel else []
    threshold, decay = (torch.rand(shape) + 0.5, torch.rand(shape)) if per_channel else (torch.tensor(1.0), 0.9)
    names = ("charge", "reset", "reset_timing", "compare", "compare_at", "detach_reset", "leak_rounding", "state_shift")
    chosen = {name: s[name] for name in names}
    value = 0.1 if s["reset"] == "value" else 0.0
    surrogate = Surrogate(s["surrogate"], 1.5, 0.75 if per_channel else 1.0)
    return Dynamics(threshold, decay=decay, tau=3.0, gain=0.7, multiplier=3, shift=2, reset_value=value, surrogate=surrogate, **chosen)


def both(s: dict, index: int, device: str) -> list[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
    """Spikes, last membrane and gradients of the reference on the CPU and of the twin."""
    shape = s["shape"]
    steps = 4 if s["still"] else None
    current = 0.8 * torch.randn(1 if s["still"] else shape[0], *shape[1:])
    start = torch.randn(shape[1:]) if s["start"] else None
    grid = GRIDS[s["grid"]]
    rounding = "nearest_even" if s["grid"] in ("few levels", "many levels") else s["rounding"]
    gradient = "pass" if s["gradient"] == "stacked" and isinstance(grid, Table) else s["gradient"]
    state = None if grid is None else State(grid, rounding, gradient, s["snapped"])
    d = dynamics(s, shape[2] if len(shape) > 2 else 1, per_channel=index % 2 == 1 and len(shape) > 2)
    learns = (index // 2) % 3 == 0  # with and without one threshold for each channel
    found = []
    weights: list[Tensor] = []
    for twin, place in ((scan.lif_scan, "cpu"), (lif_triton.lif_scan, device)):
        inputs = [each.to(place).requires_grad_() for each in (current, start) if each is not None]
        if learns:
            inputs.append(d.threshold.detach().to(place).requires_grad_())
            d = d._replace(threshold=inputs[-1])
        if learns and state is not None and isinstance(grid, Affine):
            inputs.append(grid.step.clone().to(place).requires_grad_())
            state = state._replace(grid=Affine(inputs[-1], *(each.to(place) for each in grid[1:3]), *grid[3:]))
        spikes, last = twin(inputs[0], d, state, inputs[1] if s["start"] else None, steps=steps)
        weights = weights or [torch.randn_like(spikes), torch.randn_like(last)]
        loss = (spikes * weights[0].to(place)).sum() + (last * weights[1].to(place)).sum()
        found.append((spikes.cpu(), last.cpu(), tuple(each.cpu() for each in torch.autograd.grad(loss, inputs, materialize_grads=True))))
    return found


@pytest.mark.parametrize("part", range(4))
def test_every_field_of_dynamics_and_state(part: int, device: str) -> None:
    fired = 0
    for index, s in enumerate(settings(160)[part::4]):
        (spikes, last, gradients), (twin_spikes, twin_last, twin_gradients) = both(s, index, device)
        assert torch.equal(spikes, twin_spikes), s
        assert torch.equal(last, twin_last), s
        for gradient, twin_gradient in zip(gradients, twin_gradients, strict=True):
            torch.testing.assert_close(twin_gradient, gradient, atol=2e-4, rtol=1e-3, msg=str(s))
        fired += int(spikes.sum())
    assert fired > 300


def test_several_blocks_and_channels_last_images(device: str) -> None:
    current = torch.randn(4, 2, 20, 16, 3).permute(0, 1, 4, 2, 3)
    d = Dynamics(torch.rand(1, 3, 1, 1) + 0.5, decay=torch.rand(1, 3, 1, 1))
    for start in (None, torch.randn(2, 3, 20, 16)):
        spikes, last = lif_triton.lif_scan(current.to(device), d, None, None if start is None else start.to(device))
        expected, expected_last = scan.lif_scan(current, d, None, start)
        assert torch.equal(spikes.cpu(), expected)
        assert torch.equal(last.cpu(), expected_last)
        assert spikes.stride() == current.stride()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grid", [None, "affine", "few levels"])
def test_half_precision_is_read_and_written_as_it_is(dtype: torch.dtype, grid: str | None, device: str) -> None:
    current = (0.8 * torch.randn(4, 3, 5, 6)).to(dtype)
    state = None if grid is None else State(GRIDS[grid], "nearest_even", "pass", "before_fire")  # type: ignore[arg-type]
    d = Dynamics(torch.tensor(1.0), decay=torch.tensor(0.9))
    narrow, wide = current.clone().to(device).requires_grad_(), current.float().requires_grad_()
    spikes, last = lif_triton.lif_scan(narrow, d, state, None)
    expected, expected_last = scan.lif_scan(wide, d, state)
    assert (spikes.dtype, last.dtype) == (dtype, torch.float32)
    assert torch.equal(spikes.cpu().float(), expected)
    assert torch.equal(last.cpu(), expected_last)
    weights = torch.randn_like(expected).to(dtype)
    (spikes * weights.to(device)).sum().backward()
    (expected * weights.float()).sum().backward()
    assert narrow.grad is not None
    torch.testing.assert_close(narrow.grad.cpu().float(), wide.grad, atol=2e-2, rtol=2e-2)


def test_nan_is_refused_with_its_count(device: str) -> None:
    current = torch.zeros(2, 1, 5, device=device)
    current[1, 0, 3] = torch.nan
    with pytest.raises(SpecError, match="holds 1 NaN"):
        lif_triton.lif_scan(current, Dynamics(torch.tensor(1.0)), None, None)


def test_only_cuda_tensors_fit() -> None:
    assert not lif_triton.fits(torch.ones(1, 1, 1), Dynamics(torch.tensor(1.0)), None, None)


def test_triton_is_not_loaded_for_cpu_tensors() -> None:
    code = "import sys, torch, spikequant.numerics as n; n.lif_scan(torch.ones(2, 1, 1), n.Dynamics(torch.tensor(1.0)))"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('triton' in sys.modules)"], check=False)
    assert done.returncode == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_what_the_twin_does_not_cover_runs_as_the_reference() -> None:
    current, (threshold, decay) = torch.rand(3, 2, 5, device="cuda"), torch.tensor([1.0, 0.9], device="cuda")
    d, learned = Dynamics(threshold, decay=decay), Dynamics(threshold, decay=decay.clone().requires_grad_())
    assert lif_triton.fits(current, d, None, None)
    assert not lif_triton.fits(current, learned, None, None)
    assert torch.equal(lif_scan(current, learned)[0], lif_scan(current, d)[0])


def test_no_backward_goes_by_what_was_changed_after_the_spikes(device: str) -> None:
    threshold, current = torch.tensor(0.7, device=device), torch.ones(3, 2, 5, device=device, requires_grad=True)
    spikes, _ = lif_triton.lif_scan(current, Dynamics(threshold), None, None)
    threshold.mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()
