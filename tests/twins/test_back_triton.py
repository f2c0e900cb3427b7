"""A time step backward in Triton, where the closed form is known; every choice of neuron is in ``test_lif_triton``."""

import pytest
import torch

from spikequant.numerics import DERIVATIVES, Affine, Dynamics, State, Surrogate, affine

pytest.importorskip("triton", reason="Triton, which comes with torch's CUDA wheels, is not installed")

from spikequant.numerics.kernels import lif_triton


@pytest.mark.parametrize("kind", DERIVATIVES)
def test_the_current_of_one_step_gets_the_slope_of_the_surrogate(kind: str, device: str) -> None:
    current = torch.linspace(-1.0, 3.0, 41, device=device).reshape(1, 1, -1).requires_grad_()
    surrogate = Surrogate(kind, 1.5, 0.75)  # type: ignore[arg-type]
    spikes, _ = lif_triton.lif_scan(current, Dynamics(torch.tensor(1.0, device=device), surrogate=surrogate), None, None)
    spikes.sum().backward()
    assert current.grad is not None
    expected = 0.75 * DERIVATIVES[kind](current.detach().cpu() - 1.0, 1.5)
    torch.testing.assert_close(current.grad.cpu(), expected)


def test_a_learned_threshold_loses_what_its_spikes_gain_and_a_step_what_it_rounds_away(device: str) -> None:
    values = torch.tensor([0.2, 0.6, 3.0], device=device)
    threshold, step = (torch.tensor(value, device=device, requires_grad=True) for value in (10.0, 0.5))
    grid = affine(0.0, 1.5, 4)
    state = State(Affine(step, *(each.to(device) for each in grid[1:3]), *grid[3:]))
    spikes, last = lif_triton.lif_scan(values.reshape(1, 1, 3), Dynamics(threshold, reset="none"), state, None)
    assert not spikes.any()
    assert last.flatten().tolist() == [0.0, 0.5, 1.5]
    (spikes.sum() + last.sum()).backward()
    assert threshold.grad is not None
    assert step.grad is not None
    slopes = DERIVATIVES["arctan"](last.detach().cpu() - 10.0, 2.0)
    torch.testing.assert_close(threshold.grad.cpu(), -slopes.sum())
    rounded_away = torch.tensor([0.0 - 0.2, 0.5 - 0.6, 1.5])  # LSQ: above the grid, the level itself
    torch.testing.assert_close(step.grad.cpu(), ((1.0 + slopes.flatten()) * rounded_away / 0.5).sum())
