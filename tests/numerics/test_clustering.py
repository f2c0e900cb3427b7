import pytest
import torch

from spikequant.numerics import chosen, k_means


@pytest.mark.parametrize("count", [2, 4, 16])
def test_k_means_is_no_worse_than_where_it_began(count: int) -> None:
    x = torch.randn(2000, generator=torch.Generator().manual_seed(count))
    even = torch.linspace(float(x.min()), float(x.max()), count)
    errors = [(chosen(k_means(x, even, rounds), x) - x).square().mean().item() for rounds in (0, 1, 2, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_a_value_that_nothing_takes_stays() -> None:
    assert k_means(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0, 9.0])).tolist() == [0.0, 1.0, 9.0]


def test_the_gradients_of_the_values_sum_to_those_of_the_entries() -> None:
    x = torch.randn(50, generator=torch.Generator().manual_seed(1)).requires_grad_()
    values = torch.linspace(-2, 2, 4).requires_grad_()
    to_values, to_x = torch.autograd.grad((chosen(values, x) * torch.arange(50.0)).sum(), (values, x))
    assert torch.equal(to_x, torch.arange(50.0))
    assert to_values.sum() == to_x.sum()
