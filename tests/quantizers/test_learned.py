import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import fit_basis, levels, start_basis
from spikequant.quantizers import LSQ, Binary, LearnedBasis, LQNet, Quantizer, QuantizerSpec, Uniform
from spikequant.quantizers.learned import FIT_STEPS

WEIGHTS = torch.tensor([[-0.9, -0.3, 0.1, 0.2, 0.45, 1.0]])
EXAMPLE = LQNet(bits=2, ridge=0.0)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fitted(spec: QuantizerSpec, x: Tensor) -> Quantizer:
    quantizer = spec.build(tuple(x.shape), 0).eval()
    quantizer.observe(x)
    quantizer.fit()
    return quantizer


def worked_example(**choices: object) -> LearnedBasis:
    quantizer = EXAMPLE.model_copy(update=choices).build((1, 6))
    assert isinstance(quantizer, LearnedBasis)
    quantizer.basis.copy_(torch.tensor([[0.2, 0.4]]))
    return quantizer


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
        state = LQNet(bits=3, fan=fan).build((1, 32), 1)  # a membrane has no fan-out
        assert torch.equal(state.basis, start_basis(3, 1, 32))


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


def test_a_basis_recovers_from_zeros() -> None:
    quantizer = fitted(LQNet(bits=2), torch.zeros(1, 6))
    assert (quantizer(torch.zeros(1, 6)) == 0).all()
    quantizer.observe(WEIGHTS)
    quantizer.fit()
    assert (quantizer(WEIGHTS) - WEIGHTS).square().mean() < 0.05
