import math

import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import integers, present, stdp
from spikequant.numerics.stdp import Competition, Conductance, Format, Formats, Learned, Plasticity, Stream, charge, compete, winner

ALWAYS = torch.ones(1, 1)


def one(weight: float, theta: float = 0.0) -> Learned:
    return Learned(torch.tensor([[weight]]), torch.tensor([theta]))


def test_a_membrane_by_hand() -> None:
    # -65 + 20 crosses -52 at the first step; five steps of rest; then again: steps 0, 6, 12.
    assert stdp.present(ALWAYS, one(20.0), Competition(), stream=Stream(12)).counts.item() == 2
    assert stdp.present(ALWAYS, one(20.0), Competition(), stream=Stream(13)).counts.item() == 3
    # 12.9 reaches -52.1 and decays to -52.23 before the second 12.9 takes it across.
    current = torch.full((2, 1, 1), 12.9)
    spikes, _ = compete(current, Competition(), torch.tensor([-52.0]))
    assert spikes.flatten().tolist() == [0.0, 1.0]


def test_weight_dependent_changes_by_hand() -> None:
    """Q-SpiNN, Eq. 1 with mu = 1: w = .3, x_post = .5 falls by 1.5e-5; x_pre = .8 raises it by .0056."""
    run = stdp._Run(one(0.3), Competition(), Plasticity(trace_decay=1.0), Formats(), Stream())
    run.pre, run.post = torch.tensor([0.0]), torch.tensor([0.5])
    run._learn(Plasticity(trace_decay=1.0), [0], torch.zeros(1), 0)
    assert run.weight.item() == pytest.approx(0.3 - 1.5e-5, abs=5e-8)
    run = stdp._Run(one(0.3), Competition(), Plasticity(), Formats(), Stream())
    run.pre, run.post = torch.tensor([0.8]), torch.tensor([0.0])
    run._learn(Plasticity(trace_decay=1.0), [], torch.ones(1), 0)
    assert run.weight.item() == pytest.approx(0.3056, abs=1e-6)


def test_theta_and_normalization() -> None:
    learned = Learned(torch.tensor([[20.0, 0.0], [20.0, 0.0]]), torch.zeros(2))
    rule = Plasticity(pre=0.0, post=0.0, high=100.0, total=10.0)
    shown = stdp.present(torch.ones(1, 2), learned, Competition(theta_decay=1.0), rule, stream=Stream(1))
    assert shown.counts.tolist() == [[1, 0]]
    assert shown.learned.theta.tolist() == pytest.approx([0.05, 0.0])
    # Only the neuron that fired is scaled: 40 becomes 10.
    assert shown.learned.weight.tolist() == [[5.0, 0.0], [5.0, 0.0]]


def test_inhibition_spares_the_one_who_fired() -> None:
    v, _, _ = charge(
        Competition(decay=1.0, inhibition=10.0), torch.full((3,), -65.0), torch.zeros(3), torch.ones(3, dtype=torch.bool),
        torch.tensor([1.0, 1.0, 0.0]), (torch.zeros(3), torch.zeros(3)),
    )  # fmt: skip
    assert v.tolist() == [-75.0, -75.0, -85.0]


def test_conductances_pull_towards_their_reversal_potentials() -> None:
    c = Competition(conductance=Conductance(), inhibition=1e3)
    v, g_e, g_i = torch.full((1, 2), -65.0), torch.zeros(1, 2), torch.zeros(1, 2)
    v, g_e, g_i = charge(c, v, torch.tensor([[1.0, 0.0]]), v < 0, torch.zeros(1, 2), (g_e, g_i))
    assert v.tolist()[0] == pytest.approx([-65 + 0.01 * 65, -65.0])
    assert g_e.tolist()[0] == [1.0, 0.0]
    v, g_e, g_i = charge(c, v, torch.zeros(1, 2), v < 0, torch.zeros(1, 2), (g_e, g_i))
    assert g_e[0, 0].item() == pytest.approx(math.exp(-1.0))


def test_one_winner_is_drawn() -> None:
    crossed = torch.tensor([[True, True, False, True], [False, False, False, False]])
    picks = [winner(crossed, torch.tensor(u)).tolist() for u in (0.0, 0.4, 0.9)]
    assert [pick[0] for pick in picks] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert all(pick[1] == [0, 0, 0, 0] for pick in picks)


def test_compete_and_present_agree_where_nothing_is_drawn() -> None:
    weight = torch.randint(0, 64, (6, 5)).float() / 4
    chances = (torch.rand(3, 6) < 0.5).float()
    competition = Competition(decay=0.5, inhibition=8.0, single=False)
    counts = stdp.present(chances, Learned(weight, torch.zeros(5)), competition, stream=Stream(20)).counts
    spikes, _ = compete((chances @ weight).expand(20, 3, 5), competition, torch.full((5,), -52.0))
    assert counts.sum() > 10
    assert torch.equal(spikes.sum(0).int(), counts)


def fixed(fraction: int, rounding: str) -> Format:
    return Format(integers(2.0**-fraction, -(2 ** (11 + fraction)), 2 ** (12 + fraction)), rounding)


STEPS = 1000


def decayed(rounding: str, holding: str) -> float:
    """Theta of 10 in Q11.6 after 1 000 silent steps in which its float falls by 1e-7 of itself each."""
    formats = Formats(threshold=fixed(6, rounding), holding=holding)
    quiet = present(torch.zeros(1, 1), one(0.5, 10.0), Competition(), Plasticity(), formats, Stream(STEPS))
    return quiet.learned.theta.item()


def test_truncation_takes_a_whole_step_from_theta_each_time() -> None:
    """In place, a decay far below the step of 1/64 costs 1/64 each time: after 640 steps theta is gone."""
    assert decayed("truncate", "in_place") == 0.0
    assert decayed("half_up", "in_place") == 10.0  # the decay is lost altogether
    assert decayed("stochastic", "in_place") == pytest.approx(10.0 * math.exp(-1e-7 * STEPS), abs=0.1)  # kept in the mean
    for holding in ("on_change", "every_step"):  # the shadow takes up what the grid cannot hold
        for rounding in ("truncate", "half_up", "stochastic"):
            assert decayed(rounding, holding) == pytest.approx(10.0 * math.exp(-1e-7 * STEPS), abs=1e-4)


def potentiated(rounding: str, holding: str) -> float:
    """The mean of 400 weights of .5 in Q1.4 after one potentiation of .01 (1 - .5) = .005, a twelfth of a step."""
    weight = Learned(torch.full((400, 1), 0.5), torch.zeros(1))
    form = Format(integers(1 / 16, -32, 64), rounding)
    rule = Plasticity(pre=0.0, total=0.0)
    shown = stdp.present(torch.ones(1, 400), weight, Competition(), rule, Formats(form, holding=holding), Stream(1))
    return shown.learned.weight.mean().item()


def test_small_updates_of_weights() -> None:
    assert potentiated("truncate", "in_place") == 0.5
    assert potentiated("half_up", "in_place") == 0.5
    assert potentiated("stochastic", "in_place") == pytest.approx(0.505, abs=0.003)
    assert potentiated("truncate", "on_change") == pytest.approx(0.505, abs=1e-6)


def test_same_seed_same_run() -> None:
    torch.manual_seed(0)  # of some weights nothing fires, and nothing is learned
    learned, chances = Learned(torch.rand(20, 5), torch.zeros(5)), torch.full((2, 20), 0.3)

    def shown(seed: int, part: slice = slice(None), before: Learned = learned) -> Learned:
        stream = Stream(20, seed, first=part.start or 0)
        return stdp.present(chances[part], before, Competition(), Plasticity(), stream=stream).learned

    whole = shown(1)
    assert torch.equal(whole.weight, shown(1).weight)
    assert not torch.equal(whole.weight, shown(2).weight)
    # Images that are shown in two parts draw what they draw in one.
    parts = shown(1, slice(1, 2), shown(1, slice(0, 1)))
    assert torch.equal(parts.weight, whole.weight)
    assert torch.equal(parts.theta, whole.theta)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(MismatchError, match=r"chances \(1, 2\), weight \(1, 1\)"):
        stdp.present(torch.ones(1, 2), one(1.0), Competition())
    with pytest.raises(SpecError, match=r"must lie in \[0, 1\], got 1\.5 to 1\.5"):
        stdp.present(torch.full((1, 1), 1.5), one(1.0), Competition())
    with pytest.raises(SpecError, match="NaN or infinite"):
        stdp.present(ALWAYS, one(math.nan), Competition())
