"""The scans of second order, on values that a reader can follow."""

import pytest
import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import AlphaHeld, Dynamics, Held, State, Synapse, affine, alpha_scan, integers, lif_scan, synaptic_scan

FAR = torch.tensor(100.0)


def column(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1)


def trace(x: Tensor, synapse: Synapse | None, **more: object) -> tuple[list[float], list[float]]:
    held, v, i = None, [], []
    for step in x:
        _, held = synaptic_scan(step.unsqueeze(0), Dynamics(FAR, decay=0.5), synapse, start=held, **more)  # type: ignore[arg-type]
        v.append(held.v.item())
        i.append(held.i.item())
    return v, i


def test_a_current_that_decays_is_seen_at_once() -> None:
    assert trace(column(1, 0, 0), Synapse(0.5)) == ([1.0, 1.0, 0.75], [1.0, 0.5, 0.25])


def test_a_current_that_loses_a_share_is_seen_before_the_loss() -> None:
    """With c = 1/4 it is seen as 1, 3/4, 9/16; the membrane halves what it had."""
    assert trace(column(1, 0, 0), Synapse(0.25, "rate")) == ([1.0, 1.25, 1.1875], [0.75, 0.5625, 0.421875])


@pytest.mark.parametrize(("rounding", "expected"), [("floor", [-18.0, -14.0, -11.0]), ("trunc", [-18.0, -13.0, -9.0])])
def test_a_current_of_whole_numbers_leaks_to_whole_numbers(rounding: str, expected: list[float]) -> None:
    """It loses a quarter: 18, 13.5, 9.75 or 10.5; the gain is that of what comes in, and the rails are the grid's."""
    synapse = Synapse(0.75, "whole", "stored", rounding, gain=2.0)  # type: ignore[arg-type]
    assert trace(column(-9, 0, 0), synapse)[1] == expected
    rails = State(integers(1.0, -16, 32), "half_up")
    assert trace(column(-9, 0), synapse, current_state=rails) == ([-16.0, -20.0], [-16.0, -12.0])


def test_without_synapse_and_feedback_it_is_the_plain_scan() -> None:
    x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    for timing in ("now", "next", "next_charged", "now_once"):
        for reset in ("subtract", "value", "none"):
            d = Dynamics(torch.tensor(1.0), decay=0.75, reset=reset, reset_timing=timing)  # type: ignore[arg-type]
            (spikes, held), (expected, v) = synaptic_scan(x, d), lif_scan(x, d)
            assert spikes.equal(expected)
            assert held.v.equal(v)


def test_spikes_come_back_one_step_later() -> None:
    d = Dynamics(torch.tensor(1.0), decay=0.0)
    spikes, held = synaptic_scan(column(1, 0, 0, 0), d, feedback=lambda s: 2.0 * s)
    assert spikes.flatten().tolist() == [1.0, 1.0, 1.0, 1.0]
    assert held.v.item() == 1.0
    assert synaptic_scan(column(1, 0, 0, 0), d, feedback=lambda s: 0.5 * s)[0].flatten().tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("form", ["decay", "rate"])
def test_what_comes_back_passes_the_synapse(form: str) -> None:
    d, synapse = Dynamics(torch.tensor(1.0), decay=0.0), Synapse(0.5, form)  # type: ignore[arg-type]
    _, held = synaptic_scan(column(1, 0), d, synapse, feedback=lambda s: 4.0 * s)
    assert held.i.item() == {"decay": 4.5, "rate": 2.25}[form]


def test_the_stored_current_lies_on_its_grid_and_the_membrane_sees_what_it_is_told_to() -> None:
    whole = State(integers(1.0, -4, 9))
    x = column(1.25, 0.0)
    full, stored = (trace(x, Synapse(0.5, "decay", sees), current_state=whole) for sees in ("full", "stored"))  # type: ignore[arg-type]
    assert full == ([1.25, 1.125], [1.0, 0.0])  # 0.5 rounds to the even 0; the membrane had seen 0.5
    assert stored == ([1.0, 0.5], [1.0, 0.0])


def test_a_start_goes_on_where_it_stopped() -> None:
    x = torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(1)) + 0.4
    d, synapse, back = Dynamics(torch.tensor(1.0), decay=0.9), Synapse(0.8), torch.nn.Linear(3, 3)
    whole, last = synaptic_scan(x, d, synapse, back)
    first, held = synaptic_scan(x[:3], d, synapse, back)
    second, end = synaptic_scan(x[3:], d, synapse, back, start=held)
    assert torch.cat([first, second]).equal(whole)
    assert all(a.equal(b) for a, b in zip(end, last, strict=True))


def test_a_membrane_that_has_not_fired_again_gets_back_what_it_paid_in_advance() -> None:
    """2.5 fires and leaves 1.5; then 0.75 + 0.5 - 1 does not fire, and 1 is given back (snnTorch without delay)."""
    d = Dynamics(torch.tensor(1.0), decay=0.5, compare=">", reset_timing="now_once")
    spikes, v = lif_scan(column(2.5, 0.5), d)
    assert (spikes.flatten().tolist(), v.item()) == ([1.0, 0.0], 1.25)
    assert lif_scan(column(2.5, 0.5), d._replace(reset_timing="now"))[0].flatten().tolist() == [1.0, 1.0]


def test_alpha_rises_and_falls() -> None:
    """a = 3/4 and b = 1/2: e - h' = 1 - 1, 3/4 - 1/2, 9/16 - 1/4, ...; the peak factor is 1 + log a / (log b - log a)."""
    a, b = torch.tensor(0.75), torch.tensor(0.5)
    peak = (torch.log(a) / (torch.log(b) - torch.log(a)) + 1).item()
    held, seen = None, []
    for x in column(1, 0, 0):
        _, held = alpha_scan(x.unsqueeze(0), Dynamics(FAR), (a, b), start=held)
        seen.append(held.v.item() / peak)
    assert seen == pytest.approx([0.0, 0.25, 0.3125])


@pytest.mark.parametrize(
    ("reset", "expected"), [("value", (0.0, 0.0, 0.0)), ("subtract", (-0.25, 0.0, -1.0)), ("none", (0.75, -0.5, None))]
)
def test_alpha_resets_one_step_late(reset: str, expected: tuple[float, float, float | None]) -> None:
    start = AlphaHeld(*(torch.full((1, 1), value) for value in (2.0, 1.0, -1.0)))
    decays = torch.tensor(0.75), torch.tensor(0.5)
    _, held = alpha_scan(column(0.0), Dynamics(torch.tensor(1.0), reset=reset), decays, start=start)  # type: ignore[arg-type]
    peak = torch.log(decays[0]) / (torch.log(decays[1]) - torch.log(decays[0])) + 1
    v = 0.25 * peak.item() + {"value": -0.25 * peak.item(), "subtract": -1.0, "none": 0.0}[reset]
    assert (held.excitatory.item(), held.inhibitory.item()) == expected[:2]
    assert held.v.item() == pytest.approx(v)


def test_alpha_states_lie_on_their_grids() -> None:
    x = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(2))
    state, currents = State(affine(-1.0, 1.0, 5)), State(affine(-2.0, 2.0, 9))
    _, held = alpha_scan(x, Dynamics(torch.tensor(0.5)), (torch.tensor(0.9), torch.tensor(0.6)), state, currents)
    assert held.v.mul(2).frac().eq(0).all()
    assert held.excitatory.mul(2).frac().eq(0).all()
    assert held.inhibitory.mul(2).frac().eq(0).all()


def test_refusals() -> None:
    d, nan = Dynamics(torch.tensor(1.0)), column(1.0, float("nan"))
    with pytest.raises(SpecError, match="holds 1 NaN"):
        synaptic_scan(nan, d)
    with pytest.raises(SpecError, match="excitatory decay above the inhibitory"):
        alpha_scan(column(1.0), d, (torch.tensor(0.5), torch.tensor(0.5)))
    zeros = torch.zeros(2, 2)
    with pytest.raises(MismatchError, match=r"the start has shape \(2, 2\)"):
        synaptic_scan(column(1.0), d, start=Held(zeros, zeros, zeros))
