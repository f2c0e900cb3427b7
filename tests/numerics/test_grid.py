import math

import pytest
import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics.grid import affine, along, bounds, integers, levels, table, to

COUNTS = sorted({2**bits for bits in range(1, 17)} | {2**bits - 1 for bits in range(2, 17)})


def ranges(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.rand(2, 500 if count < 5000 else 20, generator=torch.Generator().manual_seed(0))
    return -noise[0] * 10, noise[1] * 10 + 1e-3


def test_both_ends_are_levels_and_gaps_are_equal() -> None:
    assert levels(affine(-1.0, 1.0, 5)).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert levels(affine(0.0, 1.0, 5)).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert levels(affine(2.0, 3.0, 3)).tolist() == [2.0, 2.5, 3.0]
    assert levels(affine(-3.0, -2.0, 3)).tolist() == [-3.0, -2.5, -2.0]


@pytest.mark.parametrize(("bits", "innermost"), [(2, 3), (4, 15), (6, 63), (8, 255)])
@pytest.mark.parametrize("clip", [1.0, 10.0])
def test_innermost_levels_of_a_symmetric_grid(bits: int, innermost: int, clip: float) -> None:
    values = levels(affine(-clip, clip, 2**bits))
    middle = 2 ** (bits - 1)
    assert values[middle].item() == pytest.approx(clip / innermost, rel=1e-6)
    assert values[middle - 1].item() == -values[middle].item()


def test_hardware_integers_of_a_grid() -> None:
    step, lowest, shift, size, axis = affine(-1.0, 1.0, 16)
    assert (lowest.item(), shift.item(), size, axis) == (-8.0, 0.5, 16, None)
    assert step.item() == pytest.approx(2 / 15)
    assert affine(0.0, 1.0, 16)[1:3] == (0.0, 0.0)


@pytest.mark.parametrize("count", COUNTS)
def test_symmetric_grids_are_exactly_symmetric(count: int) -> None:
    _, high = ranges(count)
    grid = affine(-high, high, count, axis=0)
    values = levels(grid)
    assert (grid.shift == (0.5 if count % 2 == 0 else 0.0)).all()
    assert torch.equal(values, -values.flip(1))
    assert count % 2 == 0 or (values[:, count // 2] == 0).all()


@pytest.mark.parametrize("count", COUNTS)
def test_top_level_reaches_high(count: int) -> None:
    low, high = ranges(count)
    for start in (low, -high, torch.zeros_like(high)):
        top = levels(affine(start, high, count, axis=0))[:, -1]
        assert (top >= high).all()
        assert (top <= high * (1 + 2**-21)).all()


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16, 255])
def test_an_end_below_zero_is_met_to_two_floats(count: int) -> None:
    low, high = ranges()
    top = levels(affine(low - high, low, count, axis=0))[:, -1]
    two = 2 * (torch.nextafter(low, torch.full_like(low, -torch.inf)) - low).abs()
    assert ((top - low).abs() <= two).all()


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16, 255])
def test_what_no_integer_expresses_is_at_most_half_a_step(count: int) -> None:
    low, high = ranges()
    _, lowest, shift, _, _ = affine(low, high, count, axis=0)
    assert (lowest == lowest.round()).all()
    assert ((shift > -0.5) & (shift <= 0.5)).all()


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_top_of_the_grids_of_the_literature_is_the_threshold_exactly(bits: int) -> None:
    assert levels(affine(-1.0, 1.0, 2**bits))[-1] == levels(affine(0.0, 1.0, 2**bits))[-1] == 1.0


@pytest.mark.parametrize("count", [2, 7, 16, 256])
def test_bounds_are_the_first_and_last_level(count: int) -> None:
    low, high = ranges()
    for grid in (affine(low, high, count, axis=0), integers(high, -3, count, axis=0), table(levels(affine(low, high, count, axis=0)), 0)):
        assert torch.equal(torch.stack(bounds(grid), 1), levels(grid)[:, [0, -1]])


def test_integers_are_multiples_of_the_step() -> None:
    assert levels(integers(0.25, -4, 8)).tolist() == [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75]
    assert levels(integers(torch.tensor([1.0, 2.0]), 0, 3, axis=0)).tolist() == [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]]


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [
        (0.0, 0.0, 4),
        (1.0, -1.0, 4),
        (0.0, math.nan, 4),
        (-math.inf, 1.0, 4),
        (-1.0, 1.0, 1),
        (torch.tensor([-1.0, 0.5]), torch.tensor([1.0, 0.5]), 4),
    ],
)
def test_an_affine_grid_refuses_what_has_no_step(low: Tensor | float, high: Tensor | float, count: int) -> None:
    with pytest.raises(SpecError, match=f"at least 2 levels and a finite range, low below high, got {count} levels from "):
        affine(low, high, count)


def test_a_table_is_sorted_float32() -> None:
    grid = table(torch.tensor([[3.0, 1.0, 2.0], [0.5, -0.5, 0.0]], dtype=torch.float64), axis=0)
    assert grid.levels.tolist() == [[1.0, 2.0, 3.0], [-0.5, 0.0, 0.5]]
    assert (grid.size, grid.levels.dtype) == (3, torch.float32)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_table_refuses_levels_that_are_not_finite(wrong: float) -> None:
    with pytest.raises(SpecError, match="not finite"):
        table(torch.tensor([0.0, wrong]))


def test_grids_move_whole() -> None:
    like = torch.zeros(1, dtype=torch.float16)
    for grid in (affine(-1.0, 1.0, 4), table(torch.tensor([0.0, 1.0]))):
        assert to(grid, like)[0].dtype == torch.float32
        assert torch.equal(levels(to(grid, like)), levels(grid))
        assert to(grid, torch.zeros(1, device="meta"))[0].device.type == "meta"


def test_values_of_channels_line_up_with_their_axis() -> None:
    x = torch.zeros(4, 3, 2)
    assert along(torch.tensor([1.0, 2.0, 3.0]), x, 1).shape == along(torch.tensor([1.0, 2.0, 3.0]), x, -2).shape == (1, 3, 1)
    assert along(torch.tensor(1.0), x, 1).ndim == 0
    assert along(torch.tensor([1.0, 2.0]), x, None).shape == (2,)


@pytest.mark.parametrize(("axis", "shape"), [(1, (4, 3)), (2, (4, 2)), (0, (3,)), (-3, (4, 2))])
def test_other_channels_are_refused(axis: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=f"2 channels cannot quantize axis {axis} of a tensor of shape"):
        along(torch.tensor([1.0, 2.0]), torch.zeros(shape), axis)
