"""What every library must pass before it is used: small scans, forward and backward, against the reference."""

import ctypes

import torch
from torch import Tensor

from spikequant.numerics import scan
from spikequant.numerics.grid import affine
from spikequant.numerics.kernels.lif_native import TILE, Call, run_backward, run_forward
from spikequant.numerics.scan import Dynamics, State

STEPS, NEURONS = 5, TILE + 89


def agrees(c: ctypes.CDLL) -> bool:
    """Whether spikes and membranes are the reference's bit for bit, and gradients to rounding."""
    # The first call of a scan may come inside any of these modes, and its answer holds for the whole process.
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        wave = torch.arange(STEPS * NEURONS, dtype=torch.float32).reshape(STEPS, 1, NEURONS).sin()
        plain = Dynamics(torch.tensor(0.7), decay=0.9, detach_reset=False)
        general = plain._replace(compare_at="full")  # leaves the loop that C keeps for the commonest neurons
        grid = State(affine(-1.0, 1.2, 16), gradient="mask")
        # Without a grid the last bit of every sum shows; with one, the rounding.
        return all(_agrees(c, wave, dynamics, state) for dynamics, state in ((plain, None), (general, None), (plain, grid)))


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
