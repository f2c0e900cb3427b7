import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import fit_basis, levels, start_basis
from spikequant.quantizers import (
    LSQ,
    Anchored,
    Binary,
    Fitted,
    FixedPoint,
    LearnedBasis,
    LQNet,
    Quantizer,
    QuantizerSpec,
    ThresholdCentered,
    Uniform,
)
from spikequant.quantizers.modules import FIT_STEPS

WEIGHTS = torch.tensor([[-0.9, -0.3, 0.1, 0.2, 0.45, 1.0]])
EXAMPLE = LQNet(bits=2, ridge=0.0)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fitted(spec: QuantizerSpec, x: Tensor, axis: int = 0) -> Quantizer:
    quantizer = spec.build(tuple(x.shape), axis).eval()
    quantizer.observe(x)
    quantizer.fit()
    return quantizer


def worked_example(**choices: object) -> LearnedBasis:
    quantizer = EXAMPLE.model_copy(update=choices).build((1, 6))
    assert isinstance(quantizer, LearnedBasis)
    quantizer.basis.copy_(torch.tensor([[0.2, 0.4]]))
    return quantizer


# fixed grids


@pytest.mark.parametrize("spec", [Uniform(bits=8, low=-1.0, high=1.0), ThresholdCentered(bits=8), Anchored(bits=7, threshold=0.3)])
def test_a_fixed_grid_survives_every_dtype(spec: QuantizerSpec) -> None:
    quantizer = spec.build((2,))
    for moved in (quantizer.half(), quantizer.double(), quantizer.to(torch.bfloat16)):
        assert torch.equal(levels(moved.grid()), levels(spec.grid()))
    assert set(quantizer.state_dict()) == {"draws"}
    assert quantizer.to("meta").grid()[0].device.type == "meta"


def test_a_fixed_grid_ignores_data() -> None:
    quantizer = Uniform(bits=2, low=-1.0, high=1.0).build((2,))
    quantizer.observe(torch.tensor([5.0, torch.nan]))
    quantizer.fit()
    assert levels(quantizer.grid())[-1] == 1


# fitted ranges


@pytest.mark.parametrize(("bits", "expected"), [(2, [1, -1, 0, -1]), (3, [1, -1, 1 / 3, -2 / 3])])
def test_brevitas_default_weights(bits: int, expected: list[float]) -> None:
    quantizer = Uniform(bits=bits, levels_at="zero").build((4,))
    assert quantizer(torch.tensor([0.9, -1.0, 0.4, -0.6])).tolist() == pytest.approx(expected)


def test_ranges_of_tensors_and_channels() -> None:
    x = torch.tensor([[-1.0, 0.5], [2.0, 4.0]])
    for choices, low, high in [
        ({}, [-4.0], [4.0]),
        ({"symmetric": False}, [-1.0], [4.0]),
        ({"per_channel": True}, [-1.0, -4.0], [1.0, 4.0]),
        ({"per_channel": True, "symmetric": False}, [-1.0, 2.0], [0.5, 4.0]),
        ({"symmetric": False, "levels_at": "twos"}, [-4.0], [4.0]),
    ]:
        quantizer = fitted(Uniform(bits=4, **choices), x)
        assert (quantizer.low.tolist(), quantizer.high.tolist()) == (low, high)
    assert fitted(Uniform(bits=4, per_channel=True), x, axis=1).high.tolist() == [2.0, 4.0]


def test_calibration_gathers_over_batches() -> None:
    quantizer = Uniform(bits=4, symmetric=False).build((1, 2), axis=1)
    for batch in ([[0.0, 3.0]], [[-1.0, 1.0]], [[0.5, 0.5]]):
        quantizer.observe(torch.tensor(batch))
    quantizer.fit()
    assert (quantizer.low.item(), quantizer.high.item()) == (-1.0, 3.0)
    quantizer.fit()  # nothing new was seen
    assert (quantizer.low.item(), quantizer.high.item()) == (-1.0, 3.0)


def test_extremes_are_seen_in_thinned_samples() -> None:
    x = torch.zeros(1, 200_001)
    x[0, 7], x[0, 11] = -3.0, 5.0
    quantizer = Uniform(bits=4, symmetric=False).build((1, 200_001))
    quantizer.observe(x)
    assert quantizer.seen[0].numel() < 140_000
    quantizer.fit()
    assert (quantizer.low.item(), quantizer.high.item()) == (-3.0, 5.0)


def test_percentiles_and_least_squares_cut_outliers() -> None:
    x = gaussian(1, 2000)
    x[0, 0] = 50.0
    reach = {observer: fitted(Uniform(bits=4, observer=observer), x).high.item() for observer in ("minmax", "percentile", "mean_square")}
    assert reach["minmax"] == 50.0
    assert 3 < reach["mean_square"] < 30
    assert 2.5 < reach["percentile"] < 4.5


def test_the_range_follows_a_weight_that_changed_in_training_only() -> None:
    weight = torch.tensor([1.0, -0.5])
    quantizer = Uniform(bits=4).build((2,))
    quantizer(weight)
    assert quantizer.high.item() == 1.0
    weight.mul_(2)
    quantizer.eval()(weight)
    assert quantizer.high.item() == 1.0
    quantizer.train()(weight)
    assert quantizer.high.item() == 2.0
    quantizer.high.fill_(3.0)
    quantizer(weight)  # the same weight: not read again
    assert quantizer.high.item() == 3.0


def test_a_grid_without_data_is_refused() -> None:
    quantizer = Uniform(bits=4).build((2,)).eval()
    assert isinstance(quantizer, Fitted)
    with pytest.raises(SpecError, match=r"uniform fitted has seen no data yet: pass calibration=loader to quantize, or give a fixed range"):
        quantizer(torch.zeros(2))


@pytest.mark.parametrize(("reach", "integer"), [(0.2, 1), (1.9, 1), (2.5, 2), (1250.0, 11)])
def test_fixed_point_takes_its_integer_bits_from_the_range(reach: float, integer: int) -> None:
    quantizer = fitted(FixedPoint(integer=None, fraction=4), torch.tensor([-0.1, reach]))
    assert torch.equal(levels(quantizer.grid()), levels(FixedPoint(integer=integer, fraction=4).grid()))


def test_fixed_point_too_wide_for_float32_is_refused() -> None:
    with pytest.raises(SpecError, match=r"got 11 \+ 16: float32 holds no more"):
        fitted(FixedPoint(integer=None, fraction=16), torch.tensor([-887.0, 1250.0])).grid()


# LQ-Net


def test_a_training_read_uses_the_basis_stored_before() -> None:
    quantizer = worked_example()
    assert quantizer(WEIGHTS)[0].tolist() == pytest.approx([-0.6, -0.2, 0.2, 0.2, 0.6, 0.6])
    assert quantizer.basis[0].tolist() == pytest.approx([0.291667, 0.491667], abs=1e-5)


def test_the_debiased_average_forgets_the_start() -> None:
    quantizer, weights = worked_example(), WEIGHTS.clone()
    quantizer(weights)
    second = fit_basis(weights, quantizer.basis, 0.0)
    weights.add_(0)  # counts as a change
    quantizer(weights)
    first = torch.tensor([[0.291667, 0.491667]])
    assert torch.allclose(quantizer.basis, (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.81), atol=1e-5)


def test_the_plain_average_keeps_a_share_of_the_start() -> None:
    quantizer = worked_example(debiased=False)
    quantizer(WEIGHTS)
    assert quantizer.basis[0].tolist() == pytest.approx([0.209167, 0.409167], abs=1e-6)


def test_the_basis_moves_only_in_training_and_only_with_its_weight() -> None:
    quantizer, weights = worked_example().eval(), WEIGHTS.clone()
    quantizer(weights)
    assert quantizer.basis[0].tolist() == pytest.approx([0.2, 0.4])
    quantizer.train()(weights)
    moved = quantizer.basis.clone()
    quantizer(weights)
    assert torch.equal(quantizer.basis, moved)
    assert quantizer.fits == 1


def test_post_training_fits_until_the_basis_stands_still() -> None:
    for bits in (1, 2, 3):
        quantizer = fitted(LQNet(bits=bits), gaussian(4, 100))
        assert torch.allclose(fit_basis(gaussian(4, 100), quantizer.basis, 1e-4), quantizer.basis, atol=1e-5)
    assert fitted(LQNet(bits=1, ridge=0.0), WEIGHTS).basis.item() == pytest.approx(0.491667, abs=1e-6)
    assert FIT_STEPS >= 200


def test_the_start_follows_the_fan() -> None:
    for fan, connections in (("fan_in", 9 * 8), ("fan_out", 9 * 32)):
        quantizer = LQNet(bits=3, fan=fan).build((32, 8, 3, 3))
        assert torch.equal(quantizer.basis, start_basis(3, connections, 32))


def test_a_start_at_the_best_uniform_grid_is_no_worse_than_it() -> None:
    weights = gaussian(4, 300)
    uniform = fitted(Uniform(bits=8, observer="mean_square", per_channel=True), weights)
    errors = [((fitted(LQNet(bits=8, start=start), weights)(weights)) - weights).square().mean() for start in ("paper", "mse_uniform")]
    least = (uniform(weights) - weights).square().mean()
    assert errors[1] <= least * 1.001 < errors[0]  # algorithms.md B.9: the paper's start is a poor local optimum at 8 bits


def test_a_start_from_the_clip_spans_it() -> None:
    quantizer = LQNet(bits=2, clip=3.0, start="clip").build((4, 50))
    assert quantizer.grid().levels.tolist() == [[-3.0, -1.0, 1.0, 3.0]] * 4


def test_a_start_from_a_far_clip_ends_at_one_bit() -> None:
    # algorithms.md B.8: all codes of a far grid are the sign, and the fit stays there.
    weights = gaussian(4, 400)
    errors = {
        (bits, start): (fitted(LQNet(bits=bits, clip=1000.0, start=start), weights)(weights) - weights).square().mean().item()
        for bits in (1, 3)
        for start in ("paper", "clip")
    }
    assert errors[3, "clip"] == pytest.approx(errors[1, "paper"], rel=1e-3)
    assert errors[3, "paper"] < 0.2 * errors[3, "clip"]


def test_a_clip_beyond_the_weights_changes_nothing() -> None:
    weights = gaussian(4, 50).clamp(-1, 1)
    plain, narrow, wide = (LQNet(bits=2, clip=clip).build((4, 50)) for clip in (None, 1.0, 10.0))
    for quantizer in (plain, narrow, wide):
        for _ in range(3):
            quantizer(weights)
            weights.add_(0)
    assert torch.equal(plain.basis, narrow.basis)
    assert torch.equal(plain.basis, wide.basis)


def test_what_a_clip_cuts_off_keeps_its_gradient_and_infinities_saturate() -> None:
    quantizer = fitted(LQNet(bits=2, clip=0.5), gaussian(2, 50))
    x = torch.tensor([[-torch.inf, -3.0, 0.1, 3.0, torch.inf]] * 2, requires_grad=True)
    y = quantizer(x)
    y.sum().backward()
    assert (y[:, :2] == y[:, :1]).all()
    assert (y[:, 3:] == -y[:, :1]).all()
    assert (x.grad == 1).all()
    assert quantizer.basis.abs().sum(1).max() < 0.7


# LSQ


def test_a_step_starts_from_the_first_values_alone() -> None:
    quantizer = LSQ(bits=3).build((2,))
    quantizer(torch.tensor([-3.0, 1.0]))
    assert quantizer.step.item() == pytest.approx(2 * 2 / 3**0.5)
    quantizer(torch.tensor([-30.0, 10.0]))
    assert quantizer.step.item() == pytest.approx(2 * 2 / 3**0.5)
    assert fitted(LSQ(bits=2, per_channel=True), torch.tensor([[1.0, 1.0], [3.0, -1.0]])).step.tolist() == [2.0, 4.0]


def test_evaluation_starts_no_step() -> None:
    quantizer = LSQ(bits=3).build((2,)).eval()
    with pytest.raises(SpecError, match="no step yet"):
        quantizer(torch.tensor([-3.0, 1.0]))
    assert (quantizer.step.item(), bool(quantizer.started)) == (1.0, False)


@pytest.mark.parametrize(
    ("spec", "low", "high"), [(LSQ(bits=3), -4, 3), (LSQ(bits=3, signed=False), 0, 7), (LSQ(bits=1, signed=False), 0, 1)]
)
def test_multiples_of_the_step(spec: LSQ, low: int, high: int) -> None:
    quantizer = spec.build((2,))
    with torch.no_grad():
        quantizer.step.fill_(0.5)
        assert levels(quantizer.grid()).tolist() == [0.5 * code for code in range(low, high + 1)]
        quantizer.step.fill_(-0.5)  # a step that training pushed below zero
        assert levels(quantizer.grid())[-1] == 0.5 * high
        quantizer.step.fill_(0.0)
        assert (levels(quantizer.grid()).diff() > 0).all()


def test_the_gradient_of_a_step_is_scaled_by_those_who_share_it() -> None:
    """Values of algorithms.md I.1: dy/dstep = 1, .4, -2, 1; times 1 / sqrt(4 values x highest 1)."""
    quantizer = LSQ(bits=2).build((4,))
    quantizer.started.fill_(True)
    with torch.no_grad():
        quantizer.step.fill_(0.5)
    for pulls, expected in (([1, 0, 0, 0], 1.0), ([0, 1, 0, 0], 0.4), ([0, 0, 1, 0], -2.0), ([0, 0, 0, 1], 1.0), ([1, 1, 1, 1], 0.4)):
        y = quantizer(torch.tensor([0.6, -0.2, -1.4, 0.9]))
        assert y.tolist() == [0.5, 0.0, -1.0, 0.5]
        (gradient,) = torch.autograd.grad((y * torch.tensor(pulls)).sum(), quantizer.step)
        assert gradient.item() == pytest.approx(expected / 2, abs=1e-6)
    shared = LSQ(bits=4, per_channel=True).build((4, 3, 5))
    assert (shared.sharers, shared.highest, shared.step.shape) == (15, 7, (4,))


# binary


def test_binary_takes_signs_times_the_mean_magnitude() -> None:
    weights = torch.tensor([[-0.9, -0.3, 0.1, 0.2, 0.45, 1.0], [0.0, 2.0, -2.0, 2.0, -2.0, 4.0]])
    snapped = Binary().build((2, 6))(weights)
    assert snapped[0].tolist() == pytest.approx([-0.491667, -0.491667, 0.491667, 0.491667, 0.491667, 0.491667], abs=1e-6)
    assert snapped[1].tolist() == [2, 2, -2, 2, -2, 2]
    assert Binary(scale="one").build((2, 6))(weights)[0].tolist() == [-1, -1, 1, 1, 1, 1]


def test_binary_reads_its_scale_in_training_only() -> None:
    quantizer = Binary().build((1, 2))
    quantizer(torch.tensor([[1.0, 3.0]]))
    quantizer.eval()(torch.tensor([[5.0, 7.0]]))
    assert quantizer.scale.tolist() == [2.0]


def test_a_channel_of_zeros_has_two_levels_still() -> None:
    for spec in (Binary(), LSQ(bits=2, per_channel=True), Uniform(bits=2, per_channel=True)):
        quantizer = fitted(spec, torch.zeros(1, 4))
        assert (levels(quantizer.grid()).diff() > 0).all()
        assert (quantizer(torch.zeros(1, 4)).abs() < 1e-7).all()


def test_a_basis_recovers_from_zeros() -> None:
    quantizer = fitted(LQNet(bits=2), torch.zeros(1, 6))
    assert (quantizer(torch.zeros(1, 6)) == 0).all()
    quantizer.observe(WEIGHTS)
    assert (quantizer(WEIGHTS) - WEIGHTS).square().mean() < 0.05


# all


def test_noise_is_new_with_every_training_read_and_repeats_in_evaluation() -> None:
    quantizer = Uniform(bits=2, low=-1.0, high=1.0, rounding="stochastic").build((1000,))
    x = torch.zeros(1000)
    trained = [quantizer(x) for _ in range(2)]
    evaluated = [quantizer.eval()(x) for _ in range(2)]
    assert not torch.equal(*trained)
    assert torch.equal(*evaluated)
    assert quantizer.draws == 2


STOCHASTIC = Uniform(bits=2, low=-1.0, high=1.0, rounding="stochastic")


def test_noise_differs_by_seed_layer_step_and_element() -> None:
    seen = []
    for seed, layer, step in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        quantizer = STOCHASTIC.build((1, 50), axis=1).eval()
        quantizer.seed, quantizer.layer = seed, layer
        seen.append(quantizer.noise(step, torch.zeros(1, 50)))
    assert torch.stack(seen).unique().numel() == 200
    assert Uniform(bits=2, low=-1.0, high=1.0).build((50,)).noise(0, torch.zeros(1, 50)) is None


def test_noise_does_not_depend_on_the_batch() -> None:
    quantizer = STOCHASTIC.build((1, 3, 4), axis=1).eval()
    alone, together = quantizer.noise(2, torch.zeros(1, 3, 4)), quantizer.noise(2, torch.zeros(5, 3, 4))
    assert torch.equal(together, alone.expand(5, 3, 4))
    assert alone.unique().numel() == 12


def test_the_steps_of_one_scan_share_a_draw() -> None:
    quantizer = Uniform(bits=2, low=-1.0, high=1.0, rounding="stochastic").build((4,))
    for step in range(5):
        quantizer.noise(step, torch.zeros(4))
    assert quantizer.draws == 1


NEEDING_DATA = [
    Uniform(bits=4, per_channel=True),
    FixedPoint(integer=None, fraction=2),
    LQNet(bits=2),
    LSQ(bits=4, per_channel=True),
    Binary(),
]


@pytest.mark.parametrize("spec", NEEDING_DATA, ids=lambda spec: spec.kind)
def test_flat_tensors_have_channels_of_one_value(spec: QuantizerSpec) -> None:
    x = torch.tensor([0.5, -1.5, 2.0], requires_grad=True)
    quantizer = spec.build((3,))
    quantizer.observe(x)
    quantizer.fit()
    quantizer(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.allclose(quantizer.eval()(x), x, atol=1.2)


@pytest.mark.parametrize("spec", [each for each in NEEDING_DATA if each.kind != "fixed_point"], ids=lambda spec: spec.kind)
def test_other_channels_are_refused(spec: QuantizerSpec) -> None:
    with pytest.raises(MismatchError, match=r"is for 3 channels along axis 0, got shape \(5, 3\)"):
        spec.build((3, 5)).observe(torch.ones(5, 3))


@pytest.mark.parametrize("spec", NEEDING_DATA, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_observing_refuses_what_is_not_finite(spec: QuantizerSpec, wrong: float) -> None:
    quantizer = spec.build((2, 2))
    for read in (quantizer.observe, quantizer):
        with pytest.raises(SpecError, match="NaN"):
            read(torch.tensor([[0.0, wrong], [1.0, 2.0]]))


@pytest.mark.parametrize("spec", NEEDING_DATA, ids=lambda spec: spec.kind)
def test_a_weight_is_trained_through_its_parametrization(spec: QuantizerSpec) -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(gaussian(3, 4, seed=1))
        layer.bias.zero_()
    quantizer = spec.build((3, 4))
    quantizer.observe(layer.weight)
    quantizer.fit()
    parametrize.register_parametrization(layer, "weight", quantizer, unsafe=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    before = layer.parametrizations.weight.original.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        layer(gaussian(5, 4)).square().sum().backward()
        optimizer.step()
    assert not torch.equal(layer.parametrizations.weight.original, before)
    on_grid = layer.eval().weight
    assert torch.isfinite(on_grid).all()
    assert torch.equal(quantizer(on_grid), on_grid)


def test_a_printed_model_shows_its_grids() -> None:
    assert "LQ-Net, bits=2" in repr(LQNet(bits=2).build((2, 2)))
    assert "Qi.6, bits=None" in repr(FixedPoint(integer=None, fraction=6).build((2, 2)))


@pytest.mark.parametrize("spec", NEEDING_DATA, ids=lambda spec: spec.kind)
def test_which_grids_wait_for_data(spec: QuantizerSpec) -> None:
    assert spec.build((3, 2)).needs_data
    for fixed in (Uniform(bits=4, low=-1.0, high=1.0), ThresholdCentered(bits=4), Binary(scale="one")):
        assert not fixed.build((3, 2)).needs_data
