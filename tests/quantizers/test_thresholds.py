"""Learned thresholds and shared steps, by hand."""

import math
from typing import cast

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.neurons import LIF
from spikequant.numerics import levels
from spikequant.quantizers import LSQ, MINT, LQNet, SpQuant
from spikequant.quantizers.thresholds import LearnedThreshold, SharedStep


def test_levels_and_neuron_share_a_threshold_that_learns() -> None:
    quantizer = cast(LearnedThreshold, SpQuant(lowest=-1, threshold=0.5, learned=True).build((1, 1), 1))
    assert levels(quantizer.grid()).tolist() == pytest.approx([-0.5, 0.0, 0.5])
    neuron = LIF(decay=0.5, threshold=9.0, compare=">", reset="value", state=quantizer, snapped="after_reset")
    spikes, v = neuron.scan(torch.tensor([0.6, 0.3, -0.3]).reshape(3, 1, 1))
    assert spikes.flatten().tolist() == [1, 0, 0]  # 0.6 fires and resets; 0.3 is stored as 0.5; 0.25 - 0.3 as 0
    assert v.item() == 0.0
    (slope,) = torch.autograd.grad(spikes.sum(), quantizer.raw)
    assert slope.item() < 0  # a higher threshold fires less


def test_a_learned_threshold_gets_its_gradient_through_softplus() -> None:
    quantizer = cast(LearnedThreshold, SpQuant(lowest=-1, learned=True).build((1, 2), 1))
    (found,) = torch.autograd.grad(
        quantizer(torch.tensor([[3.0, -2.0]])).sum() + quantizer(torch.tensor([[0.75, 5.0]])).sum(), quantizer.raw
    )
    # outside, the codes 1, -1 and 1; inside, (1 - 0.75) / 1; times sigmoid(raw), where softplus(raw) = 1
    assert found.item() == pytest.approx((1 - 1 + 0.25 + 1) * (1 - math.exp(-1.0)), abs=1e-6)


def test_a_learned_threshold_has_no_grid_before_it_is_built() -> None:
    with pytest.raises(SpecError, match="depends on data"):
        SpQuant(learned=True).grid()
    assert SpQuant(learned=True).uncertain
    assert not SpQuant().uncertain


def test_a_threshold_decided_by_the_state_takes_no_constant() -> None:
    neuron = LIF(decay=0.5, state=SpQuant(learned=True).build((1, 1), 1))
    with pytest.raises(SpecError, match="leave the threshold out"):
        neuron.quantize_constant("threshold", torch.tensor(0.5))


def test_mint_counts_in_steps_of_the_weights() -> None:
    weights = LSQ(bits=2).build((2, 2)).train()
    weights(torch.tensor([[0.3, -0.3], [0.3, -0.3]]))  # starts at 2 * 0.3 / sqrt(1) = 0.6
    state = cast(SharedStep, MINT(bits=2).build((1, 2), 1))
    assert state.needs_data
    state.follow_weights(weights, 0.5)
    assert not state.needs_data
    assert levels(state.grid()).tolist() == pytest.approx([-0.6, -0.3, 0.0, 0.3])
    assert state.fires_at(torch.tensor(1.0)).item() == pytest.approx(0.9)  # round(1 / 0.3) = 3 steps
    assert state.fires_at(torch.tensor(0.1)).item() == pytest.approx(0.3)  # 1 step at the least
    assert not state.grid().step.requires_grad


def test_a_neuron_of_mint_adds_whole_numbers() -> None:
    state = cast(SharedStep, MINT(bits=3).build((1, 1), 1))
    state.observe(torch.tensor([0.75]))  # alone: 3 steps reach it
    state.fit()
    neuron = LIF(decay=0.5, threshold=1.1, reset="value", state=state, snapped="after_reset")
    spikes, v = neuron.scan(torch.tensor([0.75, 0.5, 0.75]).reshape(3, 1, 1))
    # in steps of 0.25, threshold 4: 3; 1.5 + 2 = 3.5 -> 3 (saturated); 1.5 + 3 = 4.5 fires
    assert (spikes.flatten().tolist(), v.item()) == ([0, 0, 1], 0.0)


def test_mint_refuses_weights_without_one_step() -> None:
    state = cast(SharedStep, MINT(bits=4).build((1, 2), 1))
    with pytest.raises(SpecError, match="no quantized weights"):
        state.grid()
    state.follow_weights(LQNet(bits=2).build((2, 2)), 1.0)
    with pytest.raises(SpecError, match="use LSQ"):
        state.grid()
