import itertools

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import Table, fit_levels, snap

FREE = torch.zeros(4, dtype=torch.bool)


def test_means_by_hand_and_a_level_without_values_stays() -> None:
    values = torch.tensor([-0.6, -0.4, 0.1, 0.2, 5.0])
    fitted = fit_levels(values, torch.tensor([-0.5, 0.0, 0.5, 1.0]), FREE)
    assert fitted.tolist() == [pytest.approx(-0.5), pytest.approx(0.15), 0.5, 5.0]


def test_held_levels_stay_to_the_bit() -> None:
    start = torch.tensor([-0.5, 0.0, 0.5, 1.0])
    fitted = fit_levels(torch.randn(1000, generator=torch.Generator().manual_seed(0)), start, start >= 1)
    assert fitted[3] == 1.0
    assert (fitted[:3] != start[:3]).all()


@pytest.mark.parametrize("held", [FREE, torch.tensor([False, True, False, True])])
def test_no_step_makes_the_error_larger_or_breaks_the_order(held: torch.Tensor) -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1)).exp() - 1
    levels, errors = torch.tensor([-0.5, 0.0, 0.5, 1.0]), []
    for _ in range(30):
        errors.append(float((snap(Table(levels), values) - values).square().mean()))
        levels = fit_levels(values, levels, held)
        assert (levels.diff() > 0).all()
    assert all(later <= earlier + 1e-7 for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < errors[0]


def test_nan_is_refused() -> None:
    with pytest.raises(SpecError, match="NaN"):
        fit_levels(torch.tensor([torch.nan]), torch.tensor([0.0, 1.0]), FREE[:2])
