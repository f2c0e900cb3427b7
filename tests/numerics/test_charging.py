import pytest
import torch

from spikequant.numerics import Dynamics, Ranging, State, affine, charged, levels, lif_scan, settled


def over(low: torch.Tensor, high: torch.Tensor, axis: int | None) -> object:
    return affine(low, high, 4, axis)


@pytest.mark.parametrize(("timing", "expected"), [("now", [1.0, 2.0, 1.5]), ("next", [1.0, 2.0, 1.5])])
def test_membranes_before_they_fire(timing: str, expected: list[float]) -> None:
    dynamics = Dynamics(torch.tensor(1.5), reset_timing=timing)
    assert [float(v) for v in charged(torch.ones(3, 1, 1), dynamics)] == expected


def test_with_a_grid_the_way_is_that_of_the_rounded_membrane() -> None:
    state = State(affine(0.0, 3.0, 4))
    seen = [float(v) for v in charged(torch.full((3, 1, 1), 0.8), Dynamics(torch.tensor(9.0)), state)]
    assert seen == pytest.approx([0.8, 1.8, 2.8])  # 0.8 is stored as 1, 1.8 as 2


def test_a_start_is_where_it_begins() -> None:
    assert [float(v) for v in charged(torch.ones(1, 1, 1), Dynamics(torch.tensor(9.0), decay=0.5), start=torch.full((1, 1), 4.0))] == [3]


def test_noise_is_that_of_the_step_in_the_sequence() -> None:
    asked = []

    def noise(step: int, like: torch.Tensor) -> torch.Tensor:
        asked.append(step)
        return torch.zeros_like(like)

    list(charged(torch.ones(3, 1, 1), Dynamics(torch.tensor(9.0)), State(affine(0.0, 3.0, 4), "stochastic"), noise=noise))
    assert asked == [0, 1, 2]


def test_a_range_of_the_sequence_is_that_of_the_float_way() -> None:
    """By hand: two samples reach 3 and 6 in three steps without leak."""
    current = torch.tensor([[1.0], [2.0]]).expand(3, 2, 1)
    far = Dynamics(torch.tensor(100.0))
    both = settled(State(Ranging(over, "sequence_batch")), current, far)
    each = settled(State(Ranging(over, "sample")), current, far)
    assert both is not None
    assert each is not None
    assert levels(both.fixed).tolist() == pytest.approx([1, 1 + 5 / 3, 1 + 10 / 3, 6])
    assert levels(each.fixed)[:, [0, -1]].tolist() == [[1, 3], [2, 6]]


def test_one_step_that_stands_for_many_is_run_as_many() -> None:
    far = Dynamics(torch.tensor(100.0))
    whole = settled(State(Ranging(over, "sequence_batch")), torch.ones(1, 1, 1), far, steps=5)
    assert whole is not None
    assert levels(whole.fixed)[-1] == 5


def test_what_stands_or_cannot_be_known_before_stays() -> None:
    far, x = Dynamics(torch.tensor(9.0)), torch.ones(1, 1, 1)
    for state in (None, State(affine(0.0, 1.0, 2)), State(Ranging(over, "step_batch"))):
        assert settled(state, x, far) is state


def test_a_sample_alone_is_a_batch_of_one() -> None:
    current = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(0))
    dynamics = Dynamics(torch.tensor(0.7), decay=0.8)
    spikes, last = lif_scan(current, dynamics, State(Ranging(over, "sample")))
    for sample in range(5):
        one, end = lif_scan(current[:, [sample]], dynamics, State(Ranging(over, "sequence_batch")))
        assert torch.equal(one[:, 0], spikes[:, sample])
        assert torch.equal(end[0], last[sample])
