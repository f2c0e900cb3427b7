import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, graded_scan, lif_scan, mixed, refreshed, share

GENERATOR = torch.Generator().manual_seed(0)


def test_free_values_are_a_hard_tanh_and_frozen_ones_a_sign_without_gradient() -> None:
    x = torch.tensor([-3.0, -0.4, 0.0, 0.4, 3.0], requires_grad=True)
    hard = torch.where(x >= 0, 1.0, -1.0)
    free = mixed(x, hard, torch.zeros(5, dtype=torch.bool))
    assert torch.equal(free, torch.nn.functional.hardtanh(x))
    assert torch.equal(torch.autograd.grad(free.sum(), x)[0], torch.tensor([0.0, 1, 1, 1, 0]))
    frozen = mixed(x, hard, torch.ones(5, dtype=torch.bool))
    assert torch.equal(frozen, hard)
    assert torch.autograd.grad(frozen.sum(), x)[0].count_nonzero() == 0


def test_straight_through_gives_frozen_values_the_gradient_of_free_ones() -> None:
    x = torch.tensor([-3.0, 0.4], requires_grad=True)
    y = mixed(x, torch.tensor([-1.0, 1.0]), torch.ones(2, dtype=torch.bool), straight_through=True)
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("reset", ["subtract", "value", "none"])
@pytest.mark.parametrize("charge", ["scale", "relax_input"])
def test_all_frozen_spikes_as_the_ordinary_neuron_does(reset: str, charge: str) -> None:
    dynamics = Dynamics(torch.tensor(0.7), charge=charge, decay=torch.tensor(0.8), tau=2.0, reset=reset)  # type: ignore[arg-type]
    current = torch.randn(6, 3, 5, generator=GENERATOR)
    spikes, v = graded_scan(current, dynamics, torch.ones(5, dtype=torch.bool))
    expected, last = lif_scan(current, dynamics)
    assert torch.equal(spikes, expected)
    assert torch.equal(v, last)


def test_all_free_answers_in_grades_with_a_box_for_gradient() -> None:
    dynamics = Dynamics(torch.tensor(1.0), decay=torch.tensor(1.0), reset="none")
    current = torch.tensor([[[0.4, 0.75, 1.25, 1.6]]], requires_grad=True)
    s, _ = graded_scan(current, dynamics, torch.zeros(4, dtype=torch.bool))
    assert s.flatten().tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert torch.autograd.grad(s.sum(), current)[0].flatten().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_mask_is_the_same_for_all_steps_and_samples() -> None:
    dynamics = Dynamics(torch.tensor(1.0), decay=torch.tensor(0.9))
    s, _ = graded_scan(torch.rand(5, 4, 2, generator=GENERATOR), dynamics, torch.tensor([True, False]))
    assert set(s[..., 0].unique().tolist()) <= {0.0, 1.0}
    assert not set(s[..., 1].unique().tolist()) <= {0.0, 1.0}


def test_what_has_no_grade_is_refused() -> None:
    with pytest.raises(SpecError, match="reset_timing='now'"):
        graded_scan(torch.zeros(1, 1, 1), Dynamics(torch.tensor(1.0), reset_timing="next"), torch.zeros(1, dtype=torch.bool))
    with pytest.raises(SpecError, match="a window above 0"):
        graded_scan(torch.zeros(1, 1, 1), Dynamics(torch.tensor(1.0)), torch.zeros(1, dtype=torch.bool), window=0.0)


def test_the_mean_of_the_mask_follows_its_differential_equation() -> None:
    """``dE = (p - E) / r``: at 100 draws a window of 2 000 steps ends at .8656, so completion must be forced."""
    frozen, expected, places = torch.zeros(40_000, dtype=torch.bool), 0.0, {}
    for step in range(1, 2001):
        wanted = share(step, place=0, places=1, steps=2000, tail=0.0, power=3.0) if step < 2000 else 0.99999999
        frozen = refreshed(frozen, wanted, 100, seed=1, layer=0, step=step)
        expected += (wanted - expected) / 100
        if step in (500, 1000, 1500, 2000):
            places[step] = float(frozen.float().mean())
            assert places[step] == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 40_000) ** 0.5 + 1e-3)
    assert list(places.values()) == pytest.approx([0.0093, 0.0945, 0.3487, 0.8656], abs=6e-3)


def test_masks_are_a_function_of_seed_layer_and_step() -> None:
    start = torch.zeros(3, 4, dtype=torch.bool)
    again = [refreshed(start, 0.5, 2, *key) for key in [(0, 0, 1), (0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2)]]
    assert torch.equal(again[0], again[1])
    assert all(not torch.equal(again[0], other) for other in again[2:])
    assert refreshed(torch.ones(5, dtype=torch.bool), 0.0, 100, 0, 0, 0).sum() == 0


def test_windows_follow_each_other_and_leave_a_tail() -> None:
    shares = [[share(step, place, 2, 100, 0.2, 3.0) for place in (0, 1)] for step in (0, 40, 60, 80, 100)]
    assert shares == [[0.0, 0.0], [1.0, 0.0], [1.0, 0.125], [1.0, 1.0], [1.0, 1.0]]
