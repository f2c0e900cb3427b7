"""The C twins of ``snap``, ``fit_basis`` and ``level_sums`` against their references: bit for bit, sums and bases to rounding."""

import itertools

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError, SpikequantError
from spikequant.numerics import (
    Affine,
    Grid,
    affine,
    fit_basis,
    integers,
    levels,
    lloyd,
    lq,
    lq_grid,
    midpoints,
    snap,
    start_basis,
    table,
)
from spikequant.numerics.grid import Table
from spikequant.numerics.kernels import quant_native
from spikequant.numerics.snap import snap as snap_reference

LOW, HIGH = torch.tensor([-1.0, -0.3, 0.1]), torch.tensor([1.0, 1.2, 0.9])
BASIS = torch.tensor([[0.2, 0.4, -0.1], [0.5, 0.5, 0.1], [3.0, 1e-3, 0.7]])
WHOLE: dict[str, Grid] = {
    "4 bits": affine(-1.0, 1.0, 16),
    "1 bit": affine(-1.0, 1.0, 2),
    "8 bits off zero": affine(-1.0, 1.2, 256),
    "unsigned": affine(0.0, 1.3, 256),
    "16 bits": affine(-1.0, 1.0, 2**16),
    "integers": integers(0.3, -8, 16),
    "two levels": table(torch.tensor([-0.5, 0.7])),
    "16 levels": table(torch.linspace(-1, 1.5, 16) ** 3),
    "200 levels": table(torch.linspace(-1.2, 1.5, 200) ** 3),
    "neighboring floats": table(torch.tensor([0.0, 1e-45, 1.0, 1.0 + 2**-23, -1.0, -1.0 + 2**-24, -1.0 - 2**-23, -1e-45])),
}
ROWS: dict[str, Grid] = {
    "rows": affine(LOW, HIGH, 16, 0),
    "rows of one step": integers(torch.tensor([0.3, 1e-3, 7.0]), -128, 256, 0),
    "LQ-Net": lq_grid(BASIS, 0)[0],
    "LQ-Net, 8 bits": lq_grid(start_basis(8, 9, 3) * torch.tensor([[1.0], [-2.0], [0.3]]), 0)[0],
}
GRIDS = WHOLE | ROWS
ROUNDINGS = ("nearest_even", "half_up", "truncate", "stochastic")
CASES = [
    (name, rounding)
    for name, rounding in itertools.product(GRIDS, ROUNDINGS)
    if rounding == "nearest_even" or isinstance(GRIDS[name], Affine)
]


def edges(grid: Grid) -> Tensor:
    """``[3, value]``: levels, midpoints, quarters between them, their neighboring floats, and what lies far outside."""
    values, middles = (each.expand(3, -1) for each in (levels(grid), midpoints(grid)))
    chosen = torch.cat([values, middles, (values[:, 1:] + middles) / 2], 1)[:, :: max(1, values.shape[1] // 512)]
    beside = [torch.nextafter(chosen, torch.full_like(chosen, end)) for end in (-torch.inf, torch.inf)]
    far = torch.tensor([-torch.inf, torch.inf, -3e38, 3e38, -0.0, 0.0, 1e-45, -1e-45]).expand(3, -1)
    return torch.cat([chosen, *beside, far, torch.randn(3, 1001)], 1)


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit: minus zero is not zero, and NaN is itself."""
    return torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


@pytest.mark.parametrize(("name", "way"), CASES)
def test_every_edge_snaps_alike(name: str, way: str) -> None:
    grid, x = GRIDS[name], edges(GRIDS[name])
    noise = torch.rand(x.shape) if way == "stochastic" else None
    assert quant_native.fits(grid, x, way, "pass", noise)  # type: ignore[arg-type]
    found, expected = (form(grid, x, way, noise=noise) for form in (quant_native.snap, snap_reference))  # type: ignore[operator]
    assert same(found, expected)


@pytest.mark.parametrize("name", ["4 bits", "rows"])
@pytest.mark.parametrize("shape", [(3, 5), (3, 1300), (3, 4, 5, 6), (3, 64, 7, 31)])
@pytest.mark.parametrize("last", [False, True])
def test_noise_of_one_sample_serves_all(name: str, shape: tuple[int, ...], last: bool) -> None:
    x, noise = torch.randn(shape), torch.rand(shape[1:]).expand(shape)
    if last and len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    assert quant_native.fits(GRIDS[name], x, "stochastic", "pass", noise)
    assert same(quant_native.snap(GRIDS[name], x, "stochastic", noise=noise), snap_reference(GRIDS[name], x, "stochastic", noise=noise))


def test_noise_and_rounding_belong_together() -> None:
    x = torch.randn(3, 4)
    assert not quant_native.fits(GRIDS["4 bits"], x, "stochastic", "pass", None)
    assert not quant_native.fits(GRIDS["4 bits"], x, "nearest_even", "pass", torch.rand(3, 4))
    assert not quant_native.fits(GRIDS["4 bits"], x, "stochastic", "pass", torch.rand(3, 4).double())


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 511), (3, 513), (3, 2, 3, 3), (3, 64, 7, 31)])
@pytest.mark.parametrize("name", ["4 bits", "16 levels", "rows", "LQ-Net"])
def test_every_shape_snaps_alike(name: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert same(quant_native.snap(GRIDS[name], x), snap_reference(GRIDS[name], x))


def test_one_number_snaps_alike() -> None:
    x = torch.tensor(0.3)
    assert quant_native.fits(WHOLE["4 bits"], x, "nearest_even", "pass", None)
    assert same(quant_native.snap(WHOLE["4 bits"], x), snap_reference(WHOLE["4 bits"], x))


@pytest.mark.parametrize("name", ["4 bits", "16 levels", "rows", "LQ-Net"])
def test_images_laid_out_channels_last_stay_so(name: str) -> None:
    x = torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last).requires_grad_()
    snapped = snap(GRIDS[name], x, gradient="mask")
    assert quant_native.fits(GRIDS[name], x, "nearest_even", "mask", None)
    assert snapped.is_contiguous(memory_format=torch.channels_last)
    assert same(snapped, snap_reference(GRIDS[name], x))
    upstream = torch.randn(3, 4, 5, 6)
    expected = torch.autograd.grad(snap_reference(GRIDS[name], x, gradient="mask"), x, upstream)
    assert same(torch.autograd.grad(snapped, x, upstream)[0], expected[0])


@pytest.mark.parametrize("gradient", ["pass", "mask"])
@pytest.mark.parametrize("name", GRIDS)
def test_gradients_are_equal(name: str, gradient: str) -> None:
    x = edges(GRIDS[name]).requires_grad_()
    upstream = torch.randn_like(x)
    upstream[0, :9] = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, 1e-45, 3e38, torch.inf, -torch.inf, 1.0])
    found = [torch.autograd.grad(form(GRIDS[name], x, gradient=gradient), x, upstream)[0] for form in (quant_native.snap, snap_reference)]  # type: ignore[operator]
    assert torch.equal(found[0].nan_to_num(7.0), found[1].nan_to_num(7.0))
    assert (found[0] == 0).any() or gradient == "pass"


def test_a_masked_gradient_has_a_gradient() -> None:
    x, upstream = torch.tensor([-2.0, 0.3], requires_grad=True), torch.ones(2, requires_grad=True)
    (first,) = torch.autograd.grad(quant_native.snap(WHOLE["4 bits"], x, gradient="mask"), x, upstream, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), upstream)
    assert second.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("name", ["4 bits", "200 levels", "rows", "LQ-Net"])
def test_nan_is_refused_in_the_references_words(name: str) -> None:
    x = torch.randn(3, 700)
    x[1, 3] = x[2, 699] = torch.nan
    with pytest.raises(SpecError) as expected:
        snap_reference(GRIDS[name], x)
    with pytest.raises(SpecError) as found:
        quant_native.snap(GRIDS[name], x)
    assert str(found.value) == str(expected.value)
    assert "2 of 2100 values are NaN" in str(found.value)


@pytest.mark.parametrize(
    ("grid", "x", "options"),
    [
        (WHOLE["4 bits"], torch.randn(3, 4, dtype=torch.float64), {}),
        (WHOLE["4 bits"], torch.randn(3, 4).half(), {}),
        (WHOLE["4 bits"], torch.randn(3, 8)[:, ::2], {}),
        (WHOLE["4 bits"], torch.randn(3, 1).expand(3, 4), {}),
        (WHOLE["4 bits"], torch.randn(0, 4), {}),
        (WHOLE["4 bits"], torch.randn(3, 4), {"rounding": "stochastic", "noise": torch.full((3, 4), 0.5).double()}),
        (affine(LOW, HIGH, 16, 1), torch.randn(4, 3), {}),
        (lq_grid(BASIS, 1)[0], torch.randn(4, 3), {}),
        (ROWS["rows"], torch.randn(4, 3).T, {}),
        (ROWS["LQ-Net"], torch.randn(4, 3).T, {}),
        (Table(WHOLE["16 levels"].levels.double()), torch.randn(3, 4), {}),  # type: ignore[union-attr]
        (table(torch.tensor([0.5])), torch.randn(3, 4), {}),
        (integers(0.0, -8, 16), torch.full((3, 4), 2.0), {}),
        (affine(-3e38, 3e38, 16), torch.randn(3, 4), {}),
        (Table(torch.tensor([-torch.inf, 0.0, 1.0])), torch.randn(3, 4), {}),
    ],
)
def test_what_the_twin_does_not_cover_runs_as_the_reference(grid: Grid, x: Tensor, options: dict) -> None:
    way, noise = options.get("rounding", "nearest_even"), options.get("noise")
    assert not quant_native.fits(grid, x, way, "pass", noise)
    assert torch.equal(snap(grid, x, way, noise=noise), snap_reference(grid, x, way, noise=noise))


@pytest.mark.parametrize("form", [snap, snap_reference])
def test_wrong_calls_are_refused_alike(form: object) -> None:
    for grid, options, words in [
        (WHOLE["4 bits"], {"gradient": "none"}, "gradient must be"),
        (WHOLE["4 bits"], {"rounding": "up"}, "rounding"),
        (WHOLE["16 levels"], {"rounding": "truncate"}, "does not fit a table"),
        (ROWS["rows"], {}, "3 channels"),
        (ROWS["LQ-Net"], {}, "3 channels"),
    ]:
        with pytest.raises(SpikequantError, match=words):
            form(grid, torch.ones(4, 5), **options)  # type: ignore[operator]


def test_a_learned_step_keeps_its_gradient() -> None:
    step = torch.tensor(0.3, requires_grad=True)
    x = torch.randn(40)
    assert not quant_native.fits(integers(step, -8, 16), x, "nearest_even", "pass", None)
    snap(integers(step, -8, 16), x).sum().backward()
    assert step.grad is not None
    with torch.no_grad():
        assert quant_native.fits(integers(step.detach(), -8, 16), x, "nearest_even", "pass", None)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("ridge", [0.0, 1e-4, 0.5])
@pytest.mark.parametrize("fan", [1, 9, 513, 4608])
def test_bases_agree(bits: int, ridge: float, fan: int) -> None:
    weights = torch.randn(7, fan)
    basis = start_basis(bits, 2, 7) * (1 + torch.rand(7, bits) / 4)
    assert quant_native.fits_basis(weights, basis)
    found, expected = quant_native.fit_basis(weights, basis, ridge), lq.fit_basis(weights, basis, ridge)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert not torch.equal(found, basis)


def test_bases_with_equal_levels_and_other_types_agree() -> None:
    weights = torch.randn(3, 50)
    for basis in (torch.full((3, 4), 0.25), torch.zeros(3, 2), -start_basis(3, 9, 3), start_basis(3, 9, 3).double()):
        found, expected = fit_basis(weights, basis), lq.fit_basis(weights, basis)
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_weights_on_a_midpoint_count_for_the_lower_level() -> None:
    basis = torch.tensor([[0.5, 1.0]])
    weights = torch.tensor([[-1.0, 0.0, 1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)), 7.0]])
    torch.testing.assert_close(quant_native.fit_basis(weights, basis, 0.0), lq.fit_basis(weights, basis, 0.0), atol=1e-6, rtol=1e-6)


def test_a_fit_refuses_nan_in_the_references_words() -> None:
    weights, basis = torch.randn(3, 50), start_basis(3, 9, 3)
    weights[1, 7] = torch.nan
    for form in (quant_native.fit_basis, lq.fit_basis):
        with pytest.raises(SpecError, match="cannot quantize NaN: 1 of 150 values are NaN"):
            form(weights, basis)


@pytest.mark.parametrize(
    ("weights", "basis"),
    [
        (torch.randn(3, 50, dtype=torch.float64), start_basis(3, 9, 3)),
        (torch.randn(50, 3).T, start_basis(3, 9, 3)),
        (torch.randn(3, 50), start_basis(9, 9, 3)),
        (torch.randn(3, 50, requires_grad=True), start_basis(3, 9, 3)),
    ],
)
def test_other_fits_run_as_the_reference(weights: Tensor, basis: Tensor) -> None:
    assert not quant_native.fits_basis(weights, basis)
    assert torch.equal(fit_basis(weights, basis), lq.fit_basis(weights, basis))


def test_threads_change_no_bit() -> None:
    weights, basis = torch.randn(37, 4608), start_basis(4, 4608, 37) * 20
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        snapped = [quant_native.snap(grid, weights) for grid in (lq_grid(basis, 0)[0], WHOLE["200 levels"], WHOLE["4 bits"])]
        found.append([quant_native.fit_basis(weights, basis), *snapped])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(same(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("count", [1, 700, 200_003])
@pytest.mark.parametrize("size", [2, 13, 256])
def test_sums_of_levels_are_the_references(count: int, size: int) -> None:
    values, at = torch.randn(count), torch.linspace(-1.5, 1.5, size).tanh()
    assert quant_native.fits_levels(values, at)
    found, expected = quant_native.level_sums(values, at), lloyd.level_sums(values, at)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-12, atol=1e-9)


def test_values_on_midpoints_count_for_the_lower_level_and_nan_is_refused() -> None:
    at, values = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.25, 0.75, 2.0, -5.0, torch.inf])
    assert quant_native.level_sums(values, at)[0].tolist() == lloyd.level_sums(values, at)[0].tolist() == [2.0, 1.0, 2.0]
    with pytest.raises(SpecError, match="1 of 2 values are NaN"):
        quant_native.level_sums(torch.tensor([0.0, torch.nan]), at)


def test_levels_that_are_not_covered() -> None:
    values = torch.ones(9)
    assert not quant_native.fits_levels(values, torch.tensor([0.0]))
    assert not quant_native.fits_levels(values, torch.tensor([0.0, 0.0, 1.0]))
    assert not quant_native.fits_levels(values, torch.tensor([0.0, torch.nan]))
    assert not quant_native.fits_levels(values, torch.linspace(0, 1, 257))
    assert not quant_native.fits_levels(values.double(), torch.tensor([0.0, 1.0]))
