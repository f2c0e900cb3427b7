"""What every library must pass before it is used: small scans, forward and backward, against the reference."""

import ctypes

import torch
from torch import Tensor

from spikequant.numerics import freezing, lloyd, lq, norm, scan
from spikequant.numerics.grid import Grid, affine, table
from spikequant.numerics.kernels import compacting_native, events_native, freezing_native, norm_native, quant_native, whole_native
from spikequant.numerics.kernels.lif_native import TILE, Call, run_backward, run_forward
from spikequant.numerics.norm import Tail
from spikequant.numerics.scan import Dynamics, State
from spikequant.numerics.snap import snap

STEPS, NEURONS = 5, TILE + 89


def agrees(c: ctypes.CDLL) -> bool:
    """Whether spikes and membranes are the reference's bit for bit, and gradients to rounding."""
    # The first call of a scan may come inside any of these modes, and its answer holds for the whole process.
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        wave = torch.arange(STEPS * NEURONS, dtype=torch.float32).reshape(STEPS, 1, NEURONS).sin()
        plain = Dynamics(torch.tensor(0.7), decay=0.9, detach_reset=False)
        general = plain._replace(compare_at="full")  # leaves the loop that C keeps for the commonest neurons
        grid, fine = State(affine(-1.0, 1.2, 16), gradient="mask"), State(affine(-1.0, 1.2, 16))
        levels = State(table(torch.linspace(-1.0, 1.3, 13, dtype=torch.float32) ** 3))
        # Without a grid the last bit of every sum shows; with one, the rounding.
        scans = all(
            _agrees(c, wave, dynamics, state)
            for dynamics, state in ((plain, None), (general, None), (plain, grid), (plain, fine), (plain, levels))
        )
        return (
            scans
            and all(
                _agrees_on_images(c, plain, state, tail, dtype)
                for dtype in norm_native.DTYPES
                for state, tail in ((None, Tail(2)), (fine, Tail()))
            )
            and _agrees_on_rows(c)
            and all(_agrees_on_events(c, most) for most in (1, 3))
            and _agrees_on_values(c)
        )


def _agrees(c: ctypes.CDLL, wave: Tensor, dynamics: Dynamics, state: State | None) -> bool:
    spikes, last, gradient = _twin(c, 2 * wave, dynamics, state, wave)
    expected_spikes, expected_last, expected_gradient = _reference(2 * wave, dynamics, state, wave)
    same = torch.equal(spikes, expected_spikes) and torch.equal(last, expected_last)
    return same and torch.allclose(gradient, expected_gradient, atol=1e-4, rtol=1e-3)


def _twin(c: ctypes.CDLL, current: Tensor, dynamics: Dynamics, state: State | None, to_spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    call = Call(current, 1, dynamics, state, None)
    spikes, last, codes = run_forward(c, call, current, None, keep=True)
    return spikes, last, run_backward(c, call, (current, codes, None), to_spikes, None)[0]


def _reference(current: Tensor, dynamics: Dynamics, state: State | None, to_spikes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    leaf = current.clone().requires_grad_()
    spikes, last = scan.lif_scan(leaf, dynamics, state)
    (gradient,) = torch.autograd.grad(spikes, leaf, to_spikes)
    return spikes.detach(), last.detach(), gradient


def _agrees_on_images(c: ctypes.CDLL, dynamics: Dynamics, state: State | None, tail: Tail, dtype: torch.dtype) -> bool:
    wave = torch.arange(4 * 2 * 8 * 6 * 6, dtype=torch.float32).reshape(4, 2, 8, 6, 6).sin().to(dtype)
    affine = [torch.linspace(low, high, 8, dtype=torch.float32) for low, high in ((1.0, 2.0), (-0.2, 0.2))]
    added = (300 * wave).round() if tail.pool == 1 else None  # so large that bfloat16 rounds its sum with a spike
    found, expected = (torch.empty(2, 8, dtype=torch.float32) for _ in range(2))
    x, plus = (None if each is None else norm_native.channels_last(each) for each in (wave, added))
    assert x is not None, "of the wave"
    call = norm_native.Call(x, (dynamics, state), None, tail.pool)
    spikes = norm_native.run_forward(c, call, x, (affine[0], affine[1]), plus, found)
    rest = torch.zeros(2, 6, TILE, dtype=torch.float32)
    charged, ends = x[0].float() * affine[0] + affine[1], norm_native.extremes(c, call, x, (affine[0], affine[1]), rest)
    same_ends = ends == (charged.amin(), charged.amax())
    leaves = [each.requires_grad_() for each in (wave, *affine)]
    fired = norm.norm_scan(wave, norm.Norm(*affine), dynamics, state, tail=Tail(tail.pool, added, expected))
    same = same_ends and torch.equal(spikes, norm_native.channels_last(fired.detach())) and torch.equal(found, expected)
    gradient, *moved = torch.autograd.grad(fired, leaves, fired.detach())
    to_normal, to_affine = norm_native.run_backward(c, call, x, (affine[0].detach(), affine[1].detach()), spikes)
    step = 1e-4 if dtype == torch.float32 else 2e-2  # of a bfloat16 that is rounded twice
    close = torch.allclose(to_normal * affine[0], norm_native.channels_last(gradient).float(), atol=step, rtol=10 * step)
    summed = all(torch.allclose(own.float(), each, atol=1e-3, rtol=1e-3) for own, each in zip(to_affine, moved, strict=True))
    return same and close and summed and torch.allclose(norm_native.sums(c, x.reshape(-1, 8))[1], x.double().sum((0, 1, 2, 3)))


def _agrees_on_rows(c: ctypes.CDLL) -> bool:
    x = torch.arange(3 * 700, dtype=torch.float32).reshape(3, 700).sin()
    grids: list[Grid] = [
        affine(torch.tensor([-1.0, -0.5, -0.8], dtype=torch.float32), torch.tensor([0.9, 0.5, 1.0], dtype=torch.float32), 16, 0),
        table(torch.linspace(-1, 1, 40, dtype=torch.float32) ** 3),
    ]
    basis = torch.tensor([[0.2, 0.4, 0.8]], dtype=torch.float32).repeat(3, 1)
    snapped = all(torch.equal(quant_native.snapped(c, x, grid, "nearest_even"), snap(grid, x)) for grid in grids)
    noise = x.abs()
    drawn = torch.equal(quant_native.snapped(c, x, grids[0], "stochastic", noise=noise), snap(grids[0], x, "stochastic", noise=noise))
    fitted = lq.solve_basis(*quant_native.equations(c, x, basis), basis, 1e-4)
    return snapped and drawn and torch.allclose(fitted, lq.fit_basis(x, basis))


def _agrees_on_events(c: ctypes.CDLL, most: int) -> bool:
    """Whole numbers up to ``most``, so that sums are exact in any order."""
    waves = [torch.arange(count, dtype=torch.float32).sin() for count in (2 * 3 * 7 * 6, 16 * 3 * 9, 2 * 16 * 7 * 6)]
    x = (most * waves[0]).round().clamp(min=0).reshape(2, 3, 7, 6)
    weight, to_output = (8 * waves[1]).round().reshape(16, 3, 3, 3).requires_grad_(), (4 * waves[2]).round().reshape(2, 16, 7, 6)
    expected = torch.nn.functional.conv2d(x, weight, padding=1)
    (to_weight,) = torch.autograd.grad(expected, weight, to_output)
    last, form = x.permute(0, 2, 3, 1).contiguous(), events_native.Form(3, 1)
    found = events_native.run_forward(c, last, weight.detach(), None, form).permute(0, 3, 1, 2)
    back = events_native.run_backward(c, last, weight.detach(), to_output.permute(0, 2, 3, 1).contiguous(), form)
    return torch.equal(found, expected) and torch.equal(back, to_weight) and _agrees_on_whole(c, x)


def _agrees_on_whole(c: ctypes.CDLL, x: Tensor) -> bool:
    size = x.abs().max()
    events = [events_native.events_in(c, each) for each in (x, x / 2)]
    counted = events == [(int(x.count_nonzero()) / x.numel(), int(size)), (events[0].share, -1)]
    for outputs in (32, 64):
        wave = torch.arange(outputs * 3 * 9, dtype=torch.float32).cos()
        codes, unit, bias = (9 * wave).round().reshape(outputs, 3, 3, 3), wave[:outputs].abs() + 0.1, wave[:outputs]
        exact = torch.nn.functional.conv2d(x, codes, padding=1).permute(0, 2, 3, 1)
        last = x.permute(0, 2, 3, 1).contiguous()
        found = whole_native.run_forward(c, last, codes.to(torch.int8), (unit, bias), events_native.Form(3, 1))
        counted = counted and torch.equal(found, unit * exact + bias)
    return counted


def _agrees_on_values(c: ctypes.CDLL) -> bool:
    x = 2 * torch.arange(3 * 700, dtype=torch.float32).reshape(3, 700).sin()
    hard, frozen, levels = x.sign(), x[0] > 0.3, torch.tensor([-1.5, 0.1, 1.2], dtype=torch.float32)
    mixtures = [
        torch.equal(freezing_native.run(c, x, hard, frozen, through)[0], freezing.mixed(x, hard, frozen, through))
        and torch.equal(freezing_native.run(c, x, hard, frozen, through)[1], (x.abs() <= 1) & (through | ~frozen))
        for through in (False, True)
    ]
    sums = zip(quant_native.run_level_sums(c, x, levels), lloyd.level_sums(x, levels), strict=True)
    whole = (50 * x.abs()).round()
    small = compacting_native.run(c, whole)
    bytes_ = small is not None and torch.equal(small, whole.byte()) and compacting_native.run(c, x) is None
    return all(mixtures) and bytes_ and all(torch.allclose(own, each) for own, each in sums)
