import math

import pytest
import torch

from spikequant.numerics import positive, raw_of


@pytest.mark.parametrize("value", [1e-6, 0.3, 1.0, 3.09, 60.0])
def test_there_and_back(value: float) -> None:
    assert positive(raw_of(value)).item() == pytest.approx(value, rel=1e-6)


def test_the_gradient_is_the_logistic_curve() -> None:
    raw = torch.tensor(math.log(3.0), requires_grad=True)
    positive(raw).backward()
    assert raw.grad is not None
    assert raw.grad.item() == pytest.approx(0.75)
