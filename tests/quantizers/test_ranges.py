import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import affine, snap
from spikequant.quantizers import ranges


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values)


def test_extremes_of_each_row() -> None:
    low, high = ranges.minmax(rows([3.0, -1.0, 2.0], [5.0, 5.0, 4.0]))
    assert (low.tolist(), high.tolist()) == ([-1.0, 4.0], [3.0, 5.0])


def test_percentiles_of_each_row() -> None:
    x = torch.arange(1001.0).unsqueeze(0)
    assert [bound.item() for bound in ranges.percentile(x, 99.0)] == pytest.approx([10.0, 990.0], abs=0.01)
    assert [bound.item() for bound in ranges.percentile(x, 100.0)] == [0.0, 1000.0]


def test_long_rows_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "SAMPLE", 100)
    x = torch.arange(1000.0).unsqueeze(0)
    assert [bound.item() for bound in ranges.percentile(x, 100.0)] == [0.0, 990.0]


def error(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, count: int) -> torch.Tensor:
    return (snap(affine(low, high, count, axis=0), x) - x).square().mean(1)


def test_least_square_error_of_a_hundred_clips() -> None:
    x = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    x[0, 0] = 40.0  # an outlier that is worth cutting off
    low, high = ranges.mean_square(x, lambda low, high: affine(low, high, 4, axis=0))
    full_low, full_high = ranges.minmax(x)
    every = torch.stack([error(x, full_low * part, full_high * part, 4) for part in torch.linspace(0.01, 1, 100)])
    assert torch.allclose(error(x, low, high, 4), every.amin(0))
    assert high[0] < 10
    assert torch.allclose(low / full_low, high / full_high)


def test_symmetric_ranges_hold_both_ends() -> None:
    low, high = ranges.symmetric(torch.tensor([-3.0, 1.0]), torch.tensor([2.0, 4.0]))
    assert (low.tolist(), high.tolist()) == ([-3.0, -4.0], [3.0, 4.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.0, -7.0, 1e20])
def test_an_empty_range_is_widened(value: float, dtype: torch.dtype) -> None:
    ends = torch.tensor([[value], [value * (1 + 1e-12)]], dtype=dtype).sort(0).values
    low, high = ranges.widened(*ends)
    assert low.item() == pytest.approx(value)
    assert high.float() > low.float()
    values = snap(affine(low, high, 256, axis=0), torch.full((1, 3), value))
    assert values.flatten().tolist() == pytest.approx([value] * 3, rel=1e-3)
    assert ranges.widened(torch.tensor([-1.0]), torch.tensor([1.0])) == (-1.0, 1.0)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_counted_and_refused(wrong: float) -> None:
    with pytest.raises(SpecError, match="conv1: 2 of 4 values are NaN or infinite"):
        ranges.refuse_non_finite(torch.tensor([0.0, wrong, 1.0, wrong]), "conv1")
    ranges.refuse_non_finite(torch.zeros(4), "conv1")
