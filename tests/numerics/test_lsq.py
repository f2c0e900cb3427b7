import pytest
import torch

from spikequant.numerics.lsq import scale_gradient, start_step


def test_first_step_by_hand() -> None:
    assert start_step(torch.tensor([-3.0, 1.0]), 4).item() == 2.0
    assert start_step(torch.tensor([[-3.0, 1.0], [0.5, 0.5]]), 1).tolist() == [4.0, 1.0]


def test_first_step_of_zeros_is_not_zero() -> None:
    assert 0 < start_step(torch.zeros(3), 7).item() < 1e-6


@pytest.mark.parametrize("factor", [0.1, 1 / 3, 7.0])
def test_value_is_kept_to_the_bit_and_the_gradient_scaled(factor: float) -> None:
    x = torch.rand(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    scaled = scale_gradient(x, factor)
    scaled.sum().backward()
    assert torch.equal(scaled, x)
    assert x.grad.tolist() == pytest.approx([factor] * 1000)
