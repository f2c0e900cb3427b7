import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, Ranging, State, affine, levels, lif_scan, ranging, snap
from spikequant.numerics.ranging import extremes


def over(low: torch.Tensor, high: torch.Tensor, axis: int | None) -> object:
    return affine(low, high, 4, axis)


def test_extremes_of_a_batch_and_of_each_sample() -> None:
    x = torch.tensor([[[1.0, -2.0]], [[5.0, 3.0]]])
    assert [float(end) for end in extremes(x, per_sample=False)] == [-2, 5]
    assert [end.tolist() for end in extremes(x, per_sample=True)] == [[-2, 3], [1, 5]]


def test_a_step_is_rounded_over_its_own_extremes() -> None:
    """By hand: step 1 holds 0 and 3, so its levels are 0 1 2 3; step 2 holds 1.2 and 9, with levels 1.2 3.8 6.4 9."""
    current = torch.tensor([[[0.0, 1.2, 3.0]], [[1.2, 3.0, 6.0]]])
    far = Dynamics(torch.tensor(100.0), "scale", decay=1.0)
    _, last = lif_scan(current, far, State(Ranging(over, "step_batch")))
    assert last.flatten().tolist() == pytest.approx([1.2, 3.8, 9.0])


def test_a_step_of_a_batch_sees_all_its_samples() -> None:
    far = Dynamics(torch.tensor(100.0))
    x = torch.tensor([[[1.0, 2.2]], [[7.0, 4.0]]]).transpose(0, 1)
    _, together = lif_scan(x, far, State(Ranging(over, "step_batch")))
    _, alone = lif_scan(x[:, :1], far, State(Ranging(over, "step_batch")))
    assert together[0].tolist() == [1, 3]
    assert alone[0].tolist() == [1, pytest.approx(2.2)]


def test_the_gradient_passes_as_for_any_grid() -> None:
    x = torch.tensor([[0.0, 1.1, 3.0]], requires_grad=True)
    snap(Ranging(over, "step_batch").of(x), x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1, 1]]


def test_each_sample_has_its_levels() -> None:
    grid = Ranging(over, "sample").of(torch.tensor([[0.0, 3.0], [0.0, 6.0]]))
    assert levels(grid).tolist() == [[0, 1, 2, 3], [0, 2, 4, 6]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_has_no_range(bad: float) -> None:
    with pytest.raises(SpecError, match="NaN or infinite"):
        Ranging(over, "step_batch").of(torch.tensor([[0.0, bad]]))


def test_a_state_that_follows_has_no_fixed_grid() -> None:
    with pytest.raises(SpecError, match="follows each sample"):
        _ = State(Ranging(over, "sample")).fixed


@pytest.mark.parametrize(("recorded", "place"), [(False, "cpu"), (True, "cuda")])
def test_the_grid_of_a_membrane_elsewhere_is_made_here(recorded: bool, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dozens of operations on a few numbers, in every step: on a GPU each would be a launch, unless it is recorded."""
    places = []

    def noted(low: torch.Tensor, high: torch.Tensor, axis: int | None) -> object:
        places.append(low.device.type)
        return affine(0.0, 1.0, 4, axis)

    monkeypatch.setattr(ranging, "recording", lambda: recorded)
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: True)  # what only says that it lies on a GPU holds no values
    with FakeTensorMode():
        Ranging(noted, "step_batch").of(torch.empty(2, 3, device="cuda"))
    assert places == [place]
