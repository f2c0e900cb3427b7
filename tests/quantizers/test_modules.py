import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import levels
from spikequant.quantizers import (
    LSQ,
    MINT,
    Anchored,
    Binary,
    Fitted,
    FixedPoint,
    LQNet,
    Quantizer,
    QuantizerSpec,
    ReScaW,
    SpikeFit,
    ThresholdCentered,
    Uniform,
)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fitted(spec: QuantizerSpec, x: Tensor, axis: int = 0) -> Quantizer:
    quantizer = spec.build(tuple(x.shape), axis).eval()
    quantizer.observe(x)
    quantizer.fit()
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


@pytest.mark.parametrize(
    ("spec", "top"),
    [
        (LSQ(bits=4), 7 * 2 * (1.0 + 0.01) / 2 / 7**0.5),
        (LSQ(bits=4, per_channel=True), 7 * 2 * (1.0 + 0.01) / 2 / 7**0.5),
        (Binary(), (1.0 + 0.01) / 2),
        (ReScaW(bits=4), (1.0 + 0.01) / 2),
        (MINT(bits=4), 1.0),
        (LQNet(bits=1, ridge=0.0), (1.0 + 0.01) / 2),
        (SpikeFit(bits=1), (1.0 + 0.01) / 2),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_no_batch_is_forgotten_for_the_last(spec: QuantizerSpec, top: float) -> None:
    bright, dim = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.01], [-0.01]])
    for batches in ((bright, dim), (dim, bright)):
        quantizer = spec.build((1, 1), axis=1).eval()
        for batch in batches:
            quantizer.observe(batch)
        quantizer.fit()
        assert levels(quantizer.grid())[..., -1].max().item() == pytest.approx(top, rel=1e-4)


def test_extremes_are_seen_in_thinned_samples() -> None:
    x = torch.zeros(1, 200_001)
    x[0, 7], x[0, 11] = -3.0, 5.0
    quantizer = Uniform(bits=4, symmetric=False).build((1, 200_001))
    quantizer.observe(x)
    assert quantizer.seen[0].numel() < 140_000
    quantizer.fit()
    assert (quantizer.low.item(), quantizer.high.item()) == (-3.0, 5.0)


@pytest.mark.parametrize("observer", ["minmax", "percentile", "mean_square"])
def test_a_training_read_finds_the_range_that_the_fit_found(observer: str) -> None:
    x = gaussian(3, 50)
    quantizer = fitted(Uniform(bits=4, symmetric=False, per_channel=True, observer=observer), x)
    low, high = quantizer.low.clone(), quantizer.high.clone()
    quantizer.train()(x)
    assert (quantizer.low.equal(low), quantizer.high.equal(high)) == (True, True)


def test_a_new_tensor_at_an_old_address_is_read_anew() -> None:
    quantizer, reach = Uniform(bits=4).build((64, 64)), []
    for size in (1.0, 100.0):
        x = torch.full((64, 64), size)
        quantizer(x)
        reach.append(quantizer.high.item())
        del x
    assert reach == [1.0, 100.0]


@pytest.mark.parametrize("spec", [Uniform(bits=4), LQNet(bits=2)])
def test_a_training_read_in_inference_mode_is_one_of_a_new_tensor(spec: QuantizerSpec) -> None:
    x, found = gaussian(3, 4), list[Tensor]()
    for mode in (torch.no_grad(), torch.inference_mode()):
        quantizer = spec.build((3, 4))
        with mode:
            found.append(torch.stack([quantizer(x.clone()), quantizer(x * 2)]))
    assert torch.equal(*found)


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


# all


def test_a_channel_of_zeros_has_two_levels_still() -> None:
    for spec in (Binary(), LSQ(bits=2, per_channel=True), Uniform(bits=2, per_channel=True)):
        quantizer = fitted(spec, torch.zeros(1, 4))
        assert (levels(quantizer.grid()).diff() > 0).all()
        assert (quantizer(torch.zeros(1, 4)).abs() < 1e-7).all()


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
