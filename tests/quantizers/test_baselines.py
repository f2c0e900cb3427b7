"""The golden values are those of the authors' formulas, computed by hand."""

import math
from typing import cast

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.neurons import LIF
from spikequant.quantizers import QSNNBinary, QSNNMembrane, ReScaW, SpikeFit, SpQuant
from spikequant.quantizers.baselines import Clustered, Standardized

W = [0.02, -0.05, 0.11, -0.12]


def test_q_snn_takes_signs_times_a_power_of_two() -> None:
    quantizer = cast(Standardized, QSNNBinary().build((2, 4)))
    weights = torch.tensor([W, [value * 100 + 7 for value in W]])
    assert quantizer(weights).tolist() == [[1, -1, 1, -1]] * 2  # mean|z| 0.762821: standardizing hides scale and offset
    standard = (torch.tensor(W) - torch.tensor(W).mean()) / torch.tensor(W).std()
    assert standard.abs().mean().item() == pytest.approx(0.762821, abs=1e-6)
    assert quantizer.eval()(torch.tensor([[9.0, -9.0, -0.02, 0.0]] * 2)).tolist() == [[1, -1, -1, 1], [1, -1, -1, -1]]
    assert QSNNBinary().build((1, 3))(torch.full((1, 3), 0.3)).abs().unique().numel() == 1  # a channel without spread


@pytest.mark.parametrize(("done", "sharpness"), [(0.0, 0.1), (0.5, 1.0), (1.0, 10.0)])
def test_the_gradient_of_q_snn_sharpens(done: float, sharpness: float) -> None:
    quantizer = QSNNBinary().build((1, 4))
    quantizer.advance(done)
    x, pull = torch.tensor([W], requires_grad=True), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    (found,) = torch.autograd.grad((quantizer(x) * pull).sum(), x)
    z = (x - x.mean()) / x.std()
    slope = max(1 / sharpness, 1.0) * sharpness * (1 - torch.tanh(sharpness * z.detach()) ** 2)
    (expected,) = torch.autograd.grad((z * slope * pull).sum(), x)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_how_far_a_training_is_comes_with_its_checkpoint() -> None:
    x, slopes = torch.tensor([W], requires_grad=True), []
    quantizer, sharp = QSNNBinary().build((1, 4)), QSNNBinary().build((1, 4))
    sharp.advance(1.0)
    for each in (quantizer, sharp):
        slopes.append(torch.autograd.grad(each(x).sum(), x)[0])
    quantizer.load_state_dict(sharp.state_dict())
    assert torch.equal(torch.autograd.grad(quantizer(x).sum(), x)[0], slopes[1])
    assert not torch.equal(*slopes)


@pytest.mark.parametrize(("bits", "expected"), [(2, [0.0, -0.739783, 0.739783]), (4, [0.211367, -0.634100, 0.739783])])
def test_q_snn_squashes_a_membrane(bits: int, expected: list[float]) -> None:
    v = torch.tensor([[0.2, -0.7, 0.95]])
    quantizer = QSNNMembrane(bits=bits).build((1, 3), 1)
    assert quantizer(v).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    neuron = LIF(decay=0.5, threshold=1.0, reset="value", state=quantizer, snapped="after_reset")
    assert neuron.scan(v.unsqueeze(0))[1].flatten().tolist() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(SpecError, match="no one grid"):
        quantizer.grid()


def test_rescaw_reaches_the_mean_magnitude() -> None:
    quantizer = ReScaW(bits=2).build((1, 4))
    assert quantizer(torch.tensor([W])).flatten().tolist() == pytest.approx([0.025, -0.075, 0.075, -0.075])
    assert torch.allclose(quantizer(torch.tensor([W]) * 8), 8 * quantizer(torch.tensor([W])))


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_rescaw_is_the_formula_of_its_authors(bits: int) -> None:
    w = torch.randn(3, 1000, generator=torch.Generator().manual_seed(bits))
    gamma, n = w.abs().mean(1, keepdim=True), (2**bits - 1) / 2
    official = gamma * (torch.round(((w / gamma).clamp(-1, 1) + 1) * n) / n - 1)
    assert torch.allclose(ReScaW(bits=bits).build((3, 1000))(w), official, atol=1e-6)


def test_rescaw_finds_an_axis_that_counts_from_the_end() -> None:
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ReScaW(bits=2).build((3, 4), -1)(w), ReScaW(bits=2).build((3, 4), 1)(w))


@pytest.mark.parametrize(("ste", "slope"), [("official", 1 / 0.075), ("identity", 1.0)])
def test_the_gradient_of_rescaw_by_its_authors_is_amplified(ste: str, slope: float) -> None:
    x = torch.tensor([W], requires_grad=True)
    quantizer = ReScaW.read({"kind": "rescaw", "bits": 2, "ste": ste}).build((1, 4))
    (found,) = torch.autograd.grad(quantizer(x).sum(), x)
    assert found.flatten().tolist() == pytest.approx([slope] * 4)


def test_spquant_takes_the_nearest_multiple_with_a_stacked_surrogate() -> None:
    quantizer = SpQuant(lowest=-1).build((1, 3), 1)
    assert quantizer(torch.tensor([[0.49, 0.51, -2.0]])).flatten().tolist() == [0, 1, -1]
    x = torch.zeros(1, 3, requires_grad=True)
    (found,) = torch.autograd.grad(quantizer(x).sum(), x)
    assert found.flatten().tolist() == pytest.approx([0.786448] * 3, abs=1e-6)


def test_spquant_rounds_what_the_reset_leaves() -> None:
    state = SpQuant(lowest=-1).build((1, 1), 1)
    neuron = LIF(decay=0.5, threshold=1.0, compare=">", reset="value", state=state, snapped="after_reset")
    current = torch.tensor([0.6, 0.4, 0.3]).reshape(3, 1, 1).requires_grad_()
    spikes, v = neuron.scan(current)
    assert (spikes.flatten().tolist(), v.item()) == ([0, 0, 0], 1.0)  # 0.6 -> 1; 0.5 + 0.4 -> 1; 0.5 + 0.3 -> 1
    (gradient,) = torch.autograd.grad(v.sum(), current)
    first, second, third = (sum(2 * s * (1 - s) for c in (-0.5, 0.5) for s in [1 / (1 + math.exp(-2 * (u - c)))]) for u in (0.6, 0.9, 0.8))
    assert gradient.flatten().tolist() == pytest.approx([first * second * third / 4, second * third / 2, third])


def test_the_values_of_spikefit_learn_from_the_weights_that_take_them() -> None:
    quantizer = cast(Clustered, SpikeFit(bits=1).build((2, 3)))
    x = torch.tensor([[-1.0, -1.2, 0.5], [0.7, -0.8, 0.6]], requires_grad=True)
    y = quantizer(x)
    assert y.flatten().tolist() == pytest.approx([-1.0, -1.0, 0.6, 0.6, -1.0, 0.6], abs=4e-3)  # rounded to 8 bits
    pull = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    to_centers, to_x = torch.autograd.grad((y * pull).sum(), (quantizer.centers, x))
    assert to_centers.tolist() == [19.0, 44.0]
    assert torch.equal(to_x, pull)
    quantizer(x * 10)
    assert quantizer.centers.detach().tolist() == pytest.approx([-1.0, 0.6])  # started once


def test_spikefit_refuses_to_start_in_evaluation() -> None:
    with pytest.raises(SpecError, match="no values yet"):
        SpikeFit(bits=2).build((2, 3)).eval()(torch.randn(2, 3))
