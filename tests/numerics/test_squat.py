import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics.squat import BASES, exponential_levels

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
    assert exponential_levels(bits, -1.0, 1.2, center).tolist() == pytest.approx(expected, abs=6e-7)


def test_levels_of_a_wider_range() -> None:
    expected = [-1, 0.40341, 0.824433, 0.95074, 0.988632, 1.064748, 1.280576, 2.0]
    assert exponential_levels(3, -1.0, 2.0, 1.0).tolist() == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(("bits", "below", "above"), [(2, 3, 1), (3, 7, 1), (4, 14, 2), (8, 232, 24)])
def test_how_many_levels_lie_on_either_side(bits: int, below: int, above: int) -> None:
    levels = exponential_levels(bits, -1.0, 1.2, 1.0)
    assert ((levels < 1).sum().item(), (levels > 1).sum().item()) == (below, above)


@pytest.mark.parametrize("bits", range(2, 9))
def test_gaps_shrink_by_the_base_towards_the_center(bits: int) -> None:
    levels = exponential_levels(bits, -1.0, 3.0, 1.0)
    gaps = levels.diff()
    lower, upper = gaps[levels[1:] < 1], gaps[levels[:-1] > 1]
    base = BASES.get(bits, 0.95)
    assert (lower[1:] / lower[:-1]).tolist() == pytest.approx([base] * (len(lower) - 1), rel=1e-6)
    assert (upper[1:] / upper[:-1]).tolist() == pytest.approx([1 / base] * (len(upper) - 1), rel=1e-6)
    assert (levels[0].item(), levels[-1].item()) == pytest.approx((-1.0, 3.0), rel=1e-12)


def test_a_base_of_ones_own() -> None:
    assert exponential_levels(2, -4.0, 4.0, 0.0, base=0.5).tolist() == pytest.approx([-4.0, -4 / 3, 4 / 3, 4.0])


def test_float32_merges_as_many_levels_as_it_does_for_snntorch() -> None:
    assert exponential_levels(8, -1.0, 1.2, 1.0).float().unique().numel() == 256
    assert exponential_levels(10, -1.0, 1.2, 1.0).float().unique().numel() == 394
    assert exponential_levels(12, -1.0, 1.2, 1.0).float().unique().numel() == 541


@pytest.mark.parametrize("center", [-1.0, 1.2, 1.3, -2.0])
def test_a_center_outside_is_refused(center: float) -> None:
    with pytest.raises(SpecError, match=rf"center must lie between -1.0 and 1.2, got {center}"):
        exponential_levels(4, -1.0, 1.2, center)


def test_levels_are_float64() -> None:
    assert exponential_levels(4, -1.0, 1.2, 1.0).dtype == torch.float64
