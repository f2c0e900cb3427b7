import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics.grid import affine, integers, levels, table
from spikequant.numerics.snap import decode, encode, midpoints, snap, through

INPUT = torch.tensor([-1.4, -0.7, -0.34, -0.1, 0.0, 0.1, 0.34, 0.7, 1.4])
MID_RISE_3 = [-1, -0.714286, -0.428571, -0.142857, 0.142857, 0.142857, 0.428571, 0.714286, 1]
MID_TREAD_3 = [-1, -0.666667, -0.333333, 0, 0, 0, 0.333333, 0.666667, 1]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (4, [-1, -1, -1 / 3, -1 / 3, 1 / 3, 1 / 3, 1 / 3, 1, 1]),
        (3, [-1, -1, 0, 0, 0, 0, 0, 1, 1]),
        (8, MID_RISE_3),
        (7, MID_TREAD_3),
    ],
)
def test_uniform_values_by_hand(count: int, expected: list[float]) -> None:
    assert snap(affine(-1.0, 1.0, count), INPUT).tolist() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("count", "expected"), [(3, [1.0, -1.0, 0.0, -1.0]), (7, [1.0, -1.0, 1 / 3, -2 / 3])])
def test_brevitas_default_is_mid_tread_over_the_largest_weight(count: int, expected: list[float]) -> None:
    weights = torch.tensor([0.9, -1.0, 0.4, -0.6])
    assert snap(affine(-1.0, 1.0, count), weights).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("bits", range(1, 17))
def test_zero_on_a_mid_rise_grid_goes_up(bits: int) -> None:
    assert snap(affine(-1.0, 1.0, 2**bits), torch.zeros(1)).item() == pytest.approx(1 / (2**bits - 1))


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16, 255, 256])
def test_error_is_at_most_half_a_step_and_signs_mirror(count: int) -> None:
    x = torch.linspace(-1.5, 1.5, 4097)
    x = x[x != 0]
    snapped = snap(affine(-1.0, 1.0, count), x)
    assert ((snapped - x.clamp(-1, 1)).abs() <= 1 / (count - 1) + 1e-6).all()
    assert torch.equal(snap(affine(-1.0, 1.0, count), -x), -snapped)


def test_many_bits_only_clip() -> None:
    x = torch.linspace(-2, 2, 1001)
    assert torch.allclose(snap(affine(-1.0, 1.0, 2**16), x), x.clamp(-1, 1), rtol=0, atol=1.6e-5)


SIXTEENTHS = integers(1 / 16, -32, 64)  # Q1.4


@pytest.mark.parametrize(
    ("value", "truncated", "nearest"),
    [(0.7, 0.6875, 0.6875), (-0.7, -0.75, -0.6875), (0.05, 0.0, 0.0625), (-0.03125, -0.0625, 0.0), (0.09375, 0.0625, 0.125)],
)
def test_fixed_point_roundings_by_hand(value: float, truncated: float, nearest: float) -> None:
    x = torch.tensor([value])
    assert snap(SIXTEENTHS, x, "truncate").item() == truncated
    assert snap(SIXTEENTHS, x, "half_up").item() == nearest


def test_fixed_point_saturates() -> None:
    x = torch.tensor([-100.0, -2.0, 1.9375, 100.0])
    for rounding in ("truncate", "half_up", "nearest_even", "stochastic"):
        assert snap(SIXTEENTHS, x, rounding, noise=torch.zeros(4)).tolist() == [-2.0, -2.0, 1.9375, 1.9375]


def test_stochastic_is_exact_on_levels_and_keeps_the_mean_between() -> None:
    noise = (torch.arange(1000) + 0.5) / 1000
    for grid in (SIXTEENTHS, affine(-1.0, 1.2, 7), affine(0.1, 0.95, 16)):
        for level in levels(grid):
            assert (snap(grid, level.expand(1000), "stochastic", noise=noise) == level).all()
    drawn = snap(SIXTEENTHS, torch.full((1000,), 0.05), "stochastic", noise=noise)
    assert drawn.mean().item() == pytest.approx(0.05, abs=1e-4)
    assert set(drawn.tolist()) == {0.0, 0.0625}


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.2), (0.1, 0.95), (-0.03, 0.46), (-10.0, 10.0)])
def test_truncate_takes_the_largest_level_that_is_not_above(low: float, high: float) -> None:
    for bits in range(1, 9):
        grid = affine(low, high, 2**bits)
        values = levels(grid)
        above, below = (torch.nextafter(values, torch.full_like(values, end)) for end in (torch.inf, -torch.inf))
        assert torch.equal(snap(grid, values, "truncate"), values)
        assert torch.equal(snap(grid, above, "truncate"), values)
        assert torch.equal(snap(grid, below, "truncate")[1:], values[:-1])


def test_codes_by_hand() -> None:
    grid = affine(-1.0, 1.0, 4)
    assert encode(grid, torch.tensor([-9.0, -1.0, -0.4, 0.0, 0.7, 9.0])).tolist() == [0, 0, 1, 2, 3, 3]
    assert decode(grid, torch.tensor([3, 0])).tolist() == [1.0, -1.0]
    assert encode(grid, torch.zeros(2)).dtype == torch.int32


def test_codes_of_channels() -> None:
    x = torch.tensor([[0.3, 0.3], [0.6, 0.6], [2.0, -2.0]])
    for grid in (affine(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), 3, axis=1), table(torch.tensor([[0, 0.5, 1], [0, 1, 2.0]]), 1)):
        assert encode(grid, x).tolist() == [[1, 0], [1, 1], [2, 0]]
        assert snap(grid, x).tolist() == [[0.5, 0.0], [0.5, 1.0], [1.0, 0.0]]
        assert torch.equal(snap(grid, x.reshape(3, 2, 1)), snap(grid, x).reshape(3, 2, 1))
        with pytest.raises(MismatchError, match="2 channels"):
            encode(grid, x.T)


def test_a_value_between_two_levels_of_a_table_takes_the_lower() -> None:
    grid = table(torch.tensor([-1.0, 0.0, 4.0]))
    assert midpoints(grid).tolist() == [-0.5, 2.0]
    assert snap(grid, torch.tensor([-torch.inf, -0.5, -0.49, 2.0, 2.01, torch.inf])).tolist() == [-1.0, -1.0, 0.0, 0.0, 4.0, 4.0]


def test_levels_that_are_neighboring_floats_are_all_reached() -> None:
    first = torch.tensor(1.0)
    values = [first]
    for _ in range(5):
        values.append(torch.nextafter(values[-1], torch.tensor(2.0)))
    grid = table(torch.stack(values))
    assert torch.equal(snap(grid, grid.levels), grid.levels)
    assert encode(grid, grid.levels).tolist() == list(range(6))


def test_integer_sums_equal_the_sum_of_snapped_weights() -> None:
    grid = affine(-1.5, 1.5, 4)  # step 1: every sum is exact
    weights, spikes = torch.linspace(-2, 2, 101), (torch.arange(101) % 3 == 0).float()
    codes = encode(grid, weights)
    assert (snap(grid, weights) * spikes).sum() == (codes * spikes).sum() - 1.5 * spikes.sum()


def test_gradient_passes_everywhere_or_inside_only() -> None:
    x = torch.tensor([-1.5, -1.0, 0.3, 1.0, 1.5], requires_grad=True)
    for grid in (affine(-1.0, 1.0, 4), table(torch.tensor([-1.0, 0.2, 1.0]))):
        for gradient, expected in (("pass", [1, 1, 1, 1, 1]), ("mask", [0, 1, 1, 1, 0])):
            (found,) = torch.autograd.grad(snap(grid, x, gradient=gradient).sum(), x)
            assert found.tolist() == expected


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.95), (-1.0, 1.2), (-0.3, 0.7)])
def test_the_end_levels_are_inside(low: float, high: float) -> None:
    for bits in range(1, 9):
        grid = affine(low, high, 2**bits)
        for dtype in (torch.float16, torch.float32, torch.float64):
            ends = levels(grid)[[0, -1]].to(dtype).requires_grad_()
            channels = grid._replace(step=grid.step.repeat(2), axis=1)
            for each in (grid, channels):
                (found,) = torch.autograd.grad(snap(each, ends.reshape(1, 2), gradient="mask").sum(), ends)
                assert found.tolist() == [1, 1]


@pytest.mark.parametrize(("value", "snapped", "to_step"), [(0.6, 0.5, 1.0), (-0.2, 0.0, 0.4), (-1.4, -1.0, -2.0), (0.9, 0.5, 1.0)])
def test_gradient_of_a_learned_step_by_hand(value: float, snapped: float, to_step: float) -> None:
    step, x = torch.tensor(0.5, requires_grad=True), torch.tensor([value], requires_grad=True)
    y = snap(integers(step, -2, 4), x, gradient="mask")
    y.sum().backward()
    assert y.item() == snapped
    assert step.grad.item() == pytest.approx(to_step, abs=1e-6)
    assert x.grad.item() == (1.0 if -1 <= value <= 0.5 else 0.0)


@pytest.mark.parametrize(("shape", "axis"), [((2, 5), 0), ((5, 2), 1), ((3, 2, 4), 1), ((2,), 0)])
def test_gradient_of_steps_per_channel_is_that_of_each_channel(shape: tuple[int, ...], axis: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    steps = torch.tensor([0.25, 0.5], requires_grad=True)
    (snap(integers(steps, -2, 4, axis), x) * weight).sum().backward()
    for channel in range(2):
        step = steps[channel].detach().clone().requires_grad_()
        (snap(integers(step, -2, 4), x.select(axis, channel)) * weight.select(axis, channel)).sum().backward()
        assert steps.grad[channel].item() == pytest.approx(step.grad.item(), abs=1e-5)


def test_through_keeps_the_value_and_passes_the_gradient() -> None:
    x = torch.tensor([0.1, torch.inf], requires_grad=True)
    y = through(x.clamp(max=1.0).round(), 2 * x)
    y.sum().backward()
    assert y.tolist() == [0.0, 1.0]
    assert x.grad.tolist() == [2.0, 2.0]


def test_empty_tensors_pass() -> None:
    for grid in (SIXTEENTHS, table(torch.tensor([0.0, 1.0]))):
        assert snap(grid, torch.empty(0, 3)).shape == (0, 3)


def test_nan_is_counted_and_refused() -> None:
    for grid in (SIXTEENTHS, table(torch.tensor([0.0, 1.0]))):
        with pytest.raises(SpecError, match="cannot quantize NaN: 2 of 3 values"):
            snap(grid, torch.tensor([0.0, torch.nan, torch.nan]))


def test_what_does_not_fit_is_refused() -> None:
    x = torch.zeros(2)
    with pytest.raises(SpecError, match="gradient must be 'pass', 'mask' or 'stacked', got 'hide'"):
        snap(SIXTEENTHS, x, gradient="hide")
    with pytest.raises(SpecError, match="'truncate' does not fit a table"):
        snap(table(torch.tensor([0.0, 1.0])), x, "truncate")
    with pytest.raises(SpecError, match="needs noise"):
        snap(SIXTEENTHS, x, "stochastic")
    with pytest.raises(SpecError, match="did you mean 'half_up'"):
        snap(SIXTEENTHS, x, "half-up")
