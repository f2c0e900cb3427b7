import pytest
import torch
from torch import nn

from spikequant.behavior import state_health
from spikequant.errors import MismatchError
from spikequant.models import build
from spikequant.neurons import LIF, ParametricLIF, Refraining, Synaptic
from spikequant.quantizers import Anchored, FixedPoint, Membrane, QSNNMembrane, ThresholdCentered, Uniform
from spikequant.recipes import Recipe, quantize


def only(state, **lif):
    return state_health(nn.Sequential(LIF(**{"decay": 0.9, "state": state, **lif})))[0]


def test_a_mid_rise_grid_by_hand() -> None:
    """Levels -1, -1/3, 1/3, 1: rest goes to 1/3, only 1 fires, and every level rounds back to itself after a leak of a tenth."""
    found = only(Uniform(bits=2, low=-1.0, high=1.0))
    assert found.grid == (-1.0, 1.0, 4, False, pytest.approx(1 / 3), True, 1.0, 4, pytest.approx(2 / 3))
    said = ["zero is no level, rest is held at 0.333", "it fires from 0.667, not from 1", "4 levels outlast the leak"]
    assert [line.split(":")[0] for line in found.advice] == said


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (Uniform(bits=2, low=-1.0, high=0.9), ["(high)", "set below, or take anchored", "or anchored with decay = 0.9"]),
        (ThresholdCentered(bits=2, upper_limit=0.5), ["set zero = true or below, or take anchored", "set decay = 0.9"]),
        (Anchored(bits=3), ["(above)"]),
        (FixedPoint(integer=0, fraction=3), ["(integer)", "or anchored with decay = 0.9"]),
        (Membrane(bits=3), ["(take anchored, with above)"]),
        (QSNNMembrane(bits=2), ["take anchored before export"]),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_advice_names_fields_of_the_spec_at_hand(state, said) -> None:
    holder = state if isinstance(state, FixedPoint | Anchored | Uniform | ThresholdCentered) else state.build((1, 1), 1)
    advice = [line for line in only(holder, compare=">").advice if line.split(":")[0].split()[0] != "it"]
    assert [line.endswith(each) for line, each in zip(advice, said, strict=False)] == [True] * len(said), advice


@pytest.mark.parametrize(
    "neuron", [LIF(charge="rate", tau=1.0, gain=0.25), ParametricLIF(tau=4.0), LIF(tau=4.0)], ids=["rate", "learned", "tau"]
)
def test_what_is_kept_is_read_from_the_charge(neuron: LIF) -> None:
    assert state_health(nn.Sequential(neuron))[0].decay == pytest.approx(0.75)


def test_without_a_leak_nothing_outlasts_it() -> None:
    assert not any("outlast" in line for line in only(Uniform(bits=2, low=-1.0, high=1.0), decay=1.0).advice)


def test_the_grid_of_currents_is_examined_by_hand() -> None:
    """Currents 1, 1.5, 1.75 on levels 1/2, 2/3, 5/6, 1: two of three above, three codes unused; 3/4 of a current is another level."""
    neuron = Synaptic(synapse=0.5, decay=0.9, threshold=9.0, state=Anchored(bits=4, threshold=9.0, decay=0.9))
    neuron.synapse_state = Uniform(bits=2, low=0.5, high=1.0)
    model = nn.Sequential(neuron)
    sick = "current: zero is no level, rest is held at 0.5: set below, or take anchored"
    assert sick in state_health(model)[0].advice
    used = state_health(model, [(torch.ones(3, 1, 1), torch.zeros(1))])[0]
    assert [line for line in used.advice if line.startswith("current")] == [
        sick,
        "current: 1 levels outlast the leak: take more bits, or anchored with decay = 0.5",
        "current: clipped above the top: widen the range to 1.75",
        "current: 3 of 4 codes are never used: fewer bits, or a range from 1 to 1.75",
    ]
    assert used.use is not None
    neuron.synapse_state = Anchored(bits=3, decay=0.5)
    assert not any("current" in line for line in state_health(model)[0].advice)
    neuron.synapse_state = Uniform(bits=4, range="step_batch").build((1, 1), 1)
    assert any(line.startswith("current: the range follows the data") for line in state_health(model)[0].advice)


def test_a_level_for_rest_that_fires_is_told() -> None:
    """2-bit levels of a frozen range, -7.7 to 14.8: a silent membrane goes to 2.61, above the threshold of 2.5."""
    state = Uniform(bits=2, low=-7.7088, high=14.815, symmetric=False)
    assert not any("silent" in line for line in only(state, threshold=2.5).advice)
    levels = ThresholdCentered(bits=2, threshold=2.5, range="frozen").build((1, 1), 1)
    levels.observe(torch.tensor([[-7.7088, 14.815]]))
    levels.fit()
    sick = only(levels, threshold=2.5, compare=">")
    assert sick.grid.rest == pytest.approx(2.611, abs=1e-3)
    assert any("fires in every step" in line for line in sick.advice)


def test_a_level_at_the_threshold_does_not_fire_strictly() -> None:
    found = only(Uniform(bits=2, low=0.0, high=3.0), compare=">")
    assert (found.grid.on_threshold, found.grid.fires_from, found.grid.fires_at) == (True, 2.0, 1.5)
    assert found.advice[0].startswith("it fires from 1.5, not from 1:")
    assert only(Uniform(bits=2, low=0.0, high=3.0)).grid.fires_at == 0.5
    assert only(Uniform(bits=2, low=0.0, high=3.0, rounding="truncate")).grid.fires_at is None


def test_a_repaired_grid_is_healthy() -> None:
    for state in (Anchored(bits=4, decay=0.9), ThresholdCentered(bits=4, zero=True, on_threshold=True, decay=0.9)):
        found = only(state)
        assert found.advice == ()
        assert (found.grid.zero, found.grid.rest, found.grid.on_threshold, found.grid.stalled) == (True, 0.0, True, 0)


def test_a_top_at_the_threshold_cannot_fire_strictly() -> None:
    assert only(Anchored(bits=3), compare=">").grid.fires_from is None
    assert only(Anchored(bits=3), compare=">=").grid.fires_from == pytest.approx(1.0)
    assert any("no level fires" in line for line in only(Anchored(bits=3), compare=">").advice)


def test_use_is_counted_by_hand() -> None:
    """Membranes 0.4, 1.4, -3, 0.6 before rounding to 0, 1, 2 or 3 (threshold 9): one of four lies below, codes 2 and 3 are unused."""
    model = nn.Sequential(LIF(decay=1.0, threshold=9.0, state=Uniform(bits=2, low=0.0, high=3.0)))
    batch = torch.tensor([0.4, 1.4, -3.0, 0.6]).reshape(1, 4, 1)
    use = state_health(model, [(batch, torch.zeros(4))])[0].use
    assert use == (-3.0, pytest.approx(1.4), 0.25, 0.0, 2)


def test_the_share_of_each_code_is_told_with_what_the_leak_does_to_it() -> None:
    """Membranes 0.4, 1.4, 3, 0.6 rounded to 0, 1, 3, 1; a leak of 0.9 leaves 1, 2 and 3 (2.7) where they are."""
    model = nn.Sequential(LIF(decay=0.9, threshold=9.0, state=Uniform(bits=2, low=0.0, high=3.0)))
    batch = torch.tensor([0.4, 1.4, 3.0, 0.6]).reshape(1, 4, 1)
    found = state_health(model, [(batch, torch.zeros(4))])[0]
    assert found.occupancy == ((0.0, 0.25, False), (1.0, 0.5, True), (2.0, 0.0, True), (3.0, 0.25, True))
    assert state_health(model)[0].occupancy == ()


def test_each_channel_has_its_own_threshold_and_its_own_levels() -> None:
    """No level of one grid fires the second channel; of two grids, 3 is clipped in the first channel alone: half of its membranes."""
    cannot = only(Uniform(bits=2, low=-1.0, high=1.0), threshold=torch.tensor([0.9, 1.5]))
    assert (cannot.threshold, cannot.grid.fires_from, cannot.grid.fires_at) == (1.5, None, None)
    assert cannot.advice[0].startswith("no level fires")
    late = only(Uniform(bits=2, low=-1.0, high=1.0), threshold=torch.tensor([0.7, 1.0]))
    assert (late.threshold, late.grid.fires_at, late.grid.on_threshold) == (1.0, pytest.approx(2 / 3), False)
    rows = Uniform(bits=2, range="frozen", symmetric=False, per_channel=True).build((2, 2), 1)
    rows.observe(torch.tensor([[0.0, 0.0], [1.0, 5.0]]))
    rows.fit()
    batch = torch.tensor([[3.0, 3.0], [0.5, 0.5]]).unsqueeze(0)
    use = state_health(nn.Sequential(LIF(decay=0.5, threshold=9.0, state=rows)), [(batch, torch.zeros(2))])[0].use
    assert (use.below, use.above) == (0.0, 0.5)


WHOLE = {"charge": "multiply_shift", "multiplier": 205, "shift": 8, "threshold": 100.0}
BYTE = FixedPoint(integer=7, fraction=0)


@pytest.mark.parametrize(
    ("neuron", "stalled"),
    [
        (LIF(decay=0.8, **WHOLE, leak_rounding="trunc", state=BYTE), 0),
        (LIF(decay=0.8, **WHOLE, leak_rounding="floor", state=BYTE), 5),  # -1 to -5
        (LIF(decay=0.8, **WHOLE, leak_rounding="half_up", state=BYTE), 4),  # 1, 2, -1, -2
        (LIF(decay=0.8, threshold=100.0, state=BYTE), 4),
        (LIF(decay=0.8, threshold=100.0, state=FixedPoint(integer=7, fraction=0, rounding="truncate")), 4),  # -1 to -4
        (LIF(decay=0.8, threshold=100.0, state=FixedPoint(integer=7, fraction=0, rounding="stochastic")), 0),
        (LIF(tau=2.0, reset="value", reset_value=-4.0, threshold=100.0, state=BYTE), 1),  # it relaxes to -4, and halves meet up
        (Refraining(), 0),  # its membrane keeps nothing
    ],
)
def test_levels_stall_under_the_neurons_own_leak_and_rounding(neuron: LIF, stalled: int) -> None:
    neuron.state = neuron.state or BYTE
    found = state_health(nn.Sequential(neuron))[0].grid
    assert found is not None
    assert found.stalled == stalled


def test_whole_currents_stall_as_they_leak() -> None:
    synapse = {"synapse": 205 / 256, "form": "whole", "sees": "stored", "synapse_state": BYTE}
    for rounding, told in (("trunc", False), ("floor", True)):
        advice = state_health(nn.Sequential(Synaptic(**synapse, decay=0.8, **WHOLE, leak_rounding=rounding, state=BYTE)))[0].advice
        assert any(each.startswith("current: 5 levels outlast the leak") for each in advice) is told


def test_wide_grids_are_not_told_code_by_code() -> None:
    model = nn.Sequential(LIF(decay=0.9, state=Uniform(bits=9, low=0.0, high=3.0)))
    assert state_health(model, [(torch.zeros(1, 4, 1), torch.zeros(4))])[0].occupancy == ()


def test_use_follows_the_rounded_way() -> None:
    model = nn.Sequential(LIF(decay=1.0, threshold=9.0, state=Uniform(bits=2, low=0.0, high=3.0)))
    assert state_health(model, [(torch.full((3, 1, 1), 0.8), torch.zeros(1))])[0].use.high == pytest.approx(2.8)


def test_what_floats_or_follows_has_no_grid() -> None:
    batch = [(20 * torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(4))]
    model = nn.Sequential(LIF(decay=0.9), LIF(decay=0.9, state=Uniform(bits=4, range="step_batch").build((1, 2), 1)))
    floats, follows = state_health(model, batch)
    assert (floats.spec, floats.grid, follows.grid) == ("float", None, None)
    assert "times the threshold" in floats.advice[0]
    assert "freeze it" in follows.advice[0]


def test_a_quantized_network_is_examined_layer_by_layer_and_left_as_it_was() -> None:
    small = quantize(build("digits"), Recipe(state=Uniform(bits=8, low=-10.0, high=10.0)))
    before = {name: value.clone() for name, value in small.state_dict().items()}
    found = state_health(small, [(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(8))])
    assert [each.layer for each in found] == ["lif1", "lif2"]
    assert all("codes are never used" in " ".join(each.advice) for each in found)
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


def test_a_model_without_neurons_is_refused() -> None:
    with pytest.raises(MismatchError, match="no spiking neuron"):
        state_health(nn.Linear(1, 1))
