import itertools

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import encode, snap, table
from spikequant.numerics.squat import BASES, Bases, anchored, below_zero, exponential_levels, leaking

THRESHOLD_4 = [-1, 0.000061, 0.500092, 0.750107, 0.875114, 0.937618, 0.96887, 0.984496, 0.992309, 0.996216, 0.998169, 0.999145]
THRESHOLD_4 += [0.999634, 0.999878, 1.066667, 1.2]


@pytest.mark.parametrize(
    ("bits", "center", "expected"),
    [
        (2, 1.0, [-1, 0.801802, 0.981982, 1.2]),
        (3, 1.0, [-1, 0.400306, 0.820398, 0.946426, 0.984234, 0.995576, 0.998979, 1.2]),
        (4, 1.0, THRESHOLD_4),
        (1, 0.0, [0.057143, 1.2]),
        (2, 0.0, [-1, 0.010811, 0.118919, 1.2]),
        (3, 0.0, [-1, -0.280576, -0.064748, 0.006821, 0.029556, 0.10534, 0.357954, 1.2]),
    ],
)
def test_levels_as_snntorch_has_them(bits: int, center: float, expected: list[float]) -> None:
    assert exponential_levels(2**bits, -1.0, 1.2, center).tolist() == pytest.approx(expected, abs=6e-7)


def test_levels_of_a_wider_range() -> None:
    expected = [-1, 0.40341, 0.824433, 0.95074, 0.988632, 1.064748, 1.280576, 2.0]
    assert exponential_levels(8, -1.0, 2.0, 1.0).tolist() == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(("bits", "below", "above"), [(2, 3, 1), (3, 7, 1), (4, 14, 2), (8, 232, 24)])
def test_how_many_levels_lie_on_either_side(bits: int, below: int, above: int) -> None:
    levels = exponential_levels(2**bits, -1.0, 1.2, 1.0)
    assert ((levels < 1).sum().item(), (levels > 1).sum().item()) == (below, above)


@pytest.mark.parametrize("bits", range(2, 9))
def test_gaps_shrink_by_the_base_towards_the_center(bits: int) -> None:
    levels = exponential_levels(2**bits, -1.0, 3.0, 1.0)
    gaps = levels.diff()
    lower, upper = gaps[levels[1:] < 1], gaps[levels[:-1] > 1]
    base = BASES.get(bits, 0.95)
    assert (lower[1:] / lower[:-1]).tolist() == pytest.approx([base] * (len(lower) - 1), rel=1e-6)
    assert (upper[1:] / upper[:-1]).tolist() == pytest.approx([1 / base] * (len(upper) - 1), rel=1e-6)
    assert (levels[0].item(), levels[-1].item()) == pytest.approx((-1.0, 3.0), rel=1e-12)


def test_a_base_of_ones_own() -> None:
    assert exponential_levels(4, -4.0, 4.0, 0.0, Bases(0.5, 0.5)).tolist() == pytest.approx([-4.0, -4 / 3, 4 / 3, 4.0])


def test_float32_merges_as_many_levels_as_it_does_for_snntorch() -> None:
    assert exponential_levels(256, -1.0, 1.2, 1.0).float().unique().numel() == 256
    assert exponential_levels(1024, -1.0, 1.2, 1.0).float().unique().numel() == 394
    assert exponential_levels(4096, -1.0, 1.2, 1.0).float().unique().numel() == 541


@pytest.mark.parametrize("center", [1.3, -2.0])
def test_a_center_outside_is_refused(center: float) -> None:
    with pytest.raises(SpecError, match=rf"center must lie between -1.0 and 1.2, got {center}"):
        exponential_levels(16, -1.0, 1.2, center)


def test_levels_are_float64() -> None:
    assert exponential_levels(16, -1.0, 1.2, 1.0).dtype == torch.float64


def test_a_center_at_an_end_leaves_its_side_empty() -> None:
    assert exponential_levels(4, -1.0, 1.0, 1.0, Bases(0.5, 0.5)).tolist() == pytest.approx([-1, 1 / 15, 9 / 15, 13 / 15])
    assert exponential_levels(4, 0.0, 1.0, 0.0, Bases(0.5, 0.5)).tolist() == pytest.approx([1 / 15, 3 / 15, 7 / 15, 1])


def test_rows_have_levels_of_their_own() -> None:
    low, high = torch.tensor([-1.0, -4.0]), torch.tensor([1.2, 2.0])
    rows = exponential_levels(8, low, high, 1.0)
    assert rows.shape == (2, 8)
    for row, (a, b) in enumerate([(-1.0, 1.2), (-4.0, 2.0)]):
        assert rows[row].tolist() == pytest.approx(exponential_levels(8, a, b, 1.0).tolist(), abs=1e-6)


def test_bases_below_and_above_stand_apart() -> None:
    levels = exponential_levels(8, -1.0, 3.0, 1.0, Bases(lower=0.5, upper=0.25))
    gaps = levels.diff()
    assert (gaps[1:3] / gaps[:2]).tolist() == pytest.approx([0.5, 0.5])
    assert (gaps[-1] / gaps[-2]).item() == pytest.approx(4.0)


def test_how_many_lie_below_can_be_given() -> None:
    levels = exponential_levels(8, -1.0, 1.2, 0.0, below=1)
    assert ((levels < 0).sum().item(), levels[0].item(), levels[-1].item()) == (1, -1.0, pytest.approx(1.2))


def test_levels_below_zero() -> None:
    assert below_zero(torch.tensor([0.0, 5.0]), -6.0, 3).tolist() == pytest.approx([-6, -4, -2, 0, 5])
    assert below_zero(torch.tensor([[0.0, 1.0], [0.0, 2.0]]), torch.tensor([-1.0, -2.0]), 1).tolist() == [[-1, 0, 1], [-2, 0, 2]]


@pytest.mark.parametrize(
    ("zero", "threshold", "expected"),
    [
        (True, None, [-1.0, 0.0, 0.466667, 1.2]),
        (False, 1.0, [-1.0, -0.266667, 0.466667, 1.0]),
        (True, 1.0, [-1.0, 0.0, 0.466667, 1.0]),
        (True, 0.2, [-1.0, 0.0, 0.2, 1.2]),
    ],
)
def test_levels_are_moved_onto_zero_and_threshold(zero: bool, threshold: float | None, expected: list[float]) -> None:
    levels = torch.tensor([-1.0, -0.266667, 0.466667, 1.2])
    assert anchored(levels, zero, threshold).tolist() == pytest.approx(expected)
    assert anchored(levels.expand(3, 4), zero, threshold)[2].tolist() == pytest.approx(expected)


def test_zero_and_threshold_never_share_a_level() -> None:
    assert anchored(torch.tensor([-1.0, 0.4]), True, 1.0).tolist() == [0.0, 1.0]
    assert anchored(torch.tensor([-1.0, 0.1, 3.0]), True, 0.2).tolist() == pytest.approx([-1, 0, 0.2])


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_level_outlasts_the_leak(bits: int, decay: float) -> None:
    levels = anchored(exponential_levels(2**bits, -1.0, 1.2, 1.0), True, 1.0)
    grid = leaking(table(levels), decay)
    v, ranks = grid.levels.clone(), []
    assert torch.equal(snap(grid, v), v)
    for _ in range(2**bits):
        ranks.append(encode(grid, v))
        v = snap(grid, torch.tensor(decay) * v)
    assert v.eq(0).all(), "after as many steps as there are levels, all have fallen to zero"
    at_zero = int(torch.searchsorted(grid.levels, torch.tensor(0.0)))
    for before, after in itertools.pairwise(ranks):
        moved = (before - at_zero).abs() - (after - at_zero).abs()
        assert bool(((moved > 0) | (before == at_zero)).all())


def test_without_the_repair_a_level_outlasts_the_leak() -> None:
    grid = table(torch.tensor([-1.0, 0.0, 0.5, 1.0]))
    assert snap(grid, 0.9 * grid.levels).tolist() == [-1.0, 0.0, 0.5, 1.0]
    assert snap(leaking(grid, 0.9), 0.9 * grid.levels).tolist() == [0.0, 0.0, 0.0, 0.5]


def test_a_leak_needs_a_zero_and_a_decay() -> None:
    with pytest.raises(SpecError, match="zero as a level"):
        leaking(table(torch.tensor([-1.0, 1.0])), 0.5)
    with pytest.raises(SpecError, match=r"below 1, got 1\.0"):
        leaking(table(torch.tensor([-1.0, 0.0])), 1.0)
