import math

import numpy as np
import pytest
import torch

from spikequant.numerics.grid import affine, levels
from spikequant.numerics.lq import fit_basis, lq_grid, signs, start_basis
from spikequant.numerics.snap import encode, snap

WEIGHTS = torch.tensor([[-0.9, -0.3, 0.1, 0.2, 0.45, 1.0]])


def gaussian(channels: int, fan: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, fan, generator=torch.Generator().manual_seed(seed))


def error(weights: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    return (snap(lq_grid(basis, 0)[0], weights) - weights).square().mean(1)


def fitted(weights: torch.Tensor, basis: torch.Tensor, steps: int, ridge: float = 0.0) -> torch.Tensor:
    for _ in range(steps):
        basis = fit_basis(weights, basis, ridge)
    return basis


def test_worked_example() -> None:
    start = torch.tensor([[0.2, 0.4]])
    assert lq_grid(start, 0)[0].levels[0].tolist() == pytest.approx([-0.6, -0.2, 0.2, 0.6])
    assert snap(lq_grid(start, 0)[0], WEIGHTS)[0].tolist() == pytest.approx([-0.6, -0.2, 0.2, 0.2, 0.6, 0.6])
    assert error(WEIGHTS, start).item() == pytest.approx(0.04875, rel=1e-5)
    first = fit_basis(WEIGHTS, start, ridge=0.0)
    assert first[0].tolist() == pytest.approx([0.291667, 0.491667], abs=1e-6)
    assert snap(lq_grid(first, 0)[0], WEIGHTS)[0].tolist() == pytest.approx([-0.783333, -0.2, 0.2, 0.2, 0.2, 0.783333], abs=1e-6)
    assert error(WEIGHTS, first).item() == pytest.approx(0.0238426, rel=1e-5)
    second = fit_basis(WEIGHTS, first, ridge=0.0)
    assert second[0].tolist() == pytest.approx([0.34375, 0.60625], abs=1e-6)
    assert snap(lq_grid(second, 0)[0], WEIGHTS)[0].tolist() == pytest.approx([-0.95, -0.2625, 0.2625, 0.2625, 0.2625, 0.95], abs=1e-6)
    assert error(WEIGHTS, second).item() == pytest.approx(0.0119792, rel=1e-5)
    assert torch.allclose(fit_basis(WEIGHTS, second, ridge=0.0), second, atol=1e-6)


@pytest.mark.parametrize("start", [0.001, 0.3, 50.0])
def test_one_bit_takes_the_mean_magnitude_from_any_start(start: float) -> None:
    assert fit_basis(WEIGHTS, torch.tensor([[start]]), ridge=0.0).item() == pytest.approx(0.491667, abs=1e-6)


@pytest.mark.parametrize(("bits", "expected"), [(1, [0.0397453]), (2, [0.0198726, 0.0397453]), (3, [0.00993632, 0.0198726, 0.0397453])])
def test_start_by_hand(bits: int, expected: list[float]) -> None:
    basis = start_basis(bits, 576, 3)
    assert basis.shape == (3, bits)
    assert basis[2].tolist() == pytest.approx(expected, rel=1e-5)
    top = basis[0].sum().item() / math.sqrt(2 / 576)
    assert top == pytest.approx(1.349 * (1 - 2**-bits), rel=1e-6)


def test_levels_are_all_signed_sums() -> None:
    grid, patterns = lq_grid(torch.tensor([[1.0, 4.0], [-1.0, 0.25]]), 0)
    assert grid.levels.tolist() == [[-5, -3, 3, 5], [-1.25, -0.75, 0.75, 1.25]]
    assert patterns[1].tolist() == [[1, -1], [1, 1], [-1, -1], [-1, 1]]
    assert sorted(signs(2).tolist()) == [[-1, -1], [-1, 1], [1, -1], [1, 1]]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("ridge", [0.0, 1e-4, 0.5])
def test_a_step_solves_the_normal_equations(bits: int, ridge: float) -> None:
    weights = gaussian(4, 60)
    basis = start_basis(bits, 2, 4) * torch.tensor([1.0, -1.0, 0.5, 2.0]).unsqueeze(1)
    grid, patterns = lq_grid(basis, 0)
    found = fit_basis(weights, basis, ridge)
    for channel, codes in enumerate(encode(grid, weights)):
        b = patterns[channel][codes.long()].double().numpy()
        normal = b.T @ b + ridge * np.eye(bits)
        target = b.T @ weights[channel].double().numpy() + ridge * basis[channel].double().numpy()
        assert found[channel].tolist() == pytest.approx((np.linalg.pinv(normal) @ target).tolist(), abs=1e-5)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("fan", [27, 576])
@pytest.mark.parametrize("clip", [0.5, 1.0, 3.0])
def test_never_worse_than_the_uniform_grid_it_started_from(bits: int, fan: int, clip: float) -> None:
    weights = gaussian(8, fan)
    step = 2 * clip / (2**bits - 1)
    basis = (step / 2 * 2.0 ** torch.arange(bits)).expand(8, bits)
    uniform = (snap(affine(-clip, clip, 2**bits), weights) - weights).square().mean(1)
    assert torch.allclose(error(weights, basis), uniform, rtol=1e-3)
    last = uniform
    for _ in range(5):
        basis = fit_basis(weights, basis, ridge=0.0)
        now = error(weights, basis)
        assert (now <= last * (1 + 1e-5)).all()
        last = now


@pytest.mark.parametrize(("bits", "fan", "steps"), [(2, 27, 200), (3, 576, 200), (4, 576, 200), (6, 576, 200), (8, 576, 400)])
def test_converged_it_beats_the_fixed_clip(bits: int, fan: int, steps: int) -> None:
    deviation = math.sqrt(2 / fan)
    weights = gaussian(4, fan) * deviation
    uniform = (snap(affine(-1.0, 1.0, 2**bits), weights) - weights).square().mean(1)
    assert (error(weights, fitted(weights, start_basis(bits, fan, 4), steps, 1e-4)) <= uniform).all()


def test_errors_of_the_paper_start_as_measured() -> None:
    weights = gaussian(64, 576)
    found = error(weights, fitted(weights, start_basis(2, 2, 64), 200)).mean().item()
    assert found == pytest.approx(0.1278, rel=0.1)
    once = error(weights, fitted(weights, start_basis(8, 2, 64), 1)).mean().item()
    assert once > 10 * 0.00149  # a single step at 8 bits is worse than the fixed clip: do not judge by it


def test_a_start_far_beyond_the_weights_collapses_to_one_bit() -> None:
    weights = gaussian(4, 576) * 0.06
    wide = (10 / 15 * 2.0 ** torch.arange(4)).expand(4, 4)
    one = error(weights, weights.abs().mean(1, keepdim=True))
    assert torch.allclose(error(weights, fitted(weights, wide, 20, 1e-4)), one, rtol=0.01)


def test_undetermined_bases_stay_finite() -> None:
    constant = torch.full((2, 9), 0.5)
    for ridge in (0.0, 1e-4):
        basis = fitted(constant, start_basis(4, 9, 2), 30, ridge)
        assert torch.isfinite(basis).all()
        assert (error(constant, basis) < 1e-3).all()
    assert torch.isfinite(fitted(torch.zeros(2, 9), start_basis(8, 9, 2), 30)).all()


def test_dtypes_may_differ() -> None:
    basis = start_basis(3, 6, 1)
    expected = fit_basis(WEIGHTS, basis)
    assert torch.allclose(fit_basis(WEIGHTS.double(), basis), expected, atol=1e-6)
    assert fit_basis(WEIGHTS.double(), basis.double()).dtype == torch.float64
    assert levels(lq_grid(basis.double(), 0)[0]).dtype == torch.float32
