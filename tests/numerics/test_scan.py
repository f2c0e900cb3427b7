"""Traces by hand; every test runs over the reference and over the twin that is chosen here."""

import itertools
import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from spikequant import numerics
from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import scan as reference
from spikequant.numerics import twins
from spikequant.numerics.grid import affine, integers, table
from spikequant.numerics.rounding import uniform
from spikequant.numerics.scan import CHARGES, Dynamics, State, charge
from spikequant.numerics.surrogate import DERIVATIVES, Surrogate

Scan = Callable[..., tuple[Tensor, Tensor]]
ONE = torch.tensor(1.0)
SPIKING_JELLY = Dynamics(ONE, "relax_input", tau=2.0, reset="value")
SNNTORCH = Dynamics(ONE, decay=0.5, reset_timing="next", compare=">")


@pytest.fixture(params=["reference", "chosen"])
def lif(request: pytest.FixtureRequest) -> Scan:
    return reference.lif_scan if request.param == "reference" else twins.lif_scan


def trace(lif: Scan, current: list[float], dynamics: Dynamics, state: State | None = None, start: float = 0.0) -> list[tuple[float, float]]:
    """Spike and membrane after each step of one neuron."""
    v, seen = torch.tensor([[start]]), []
    for x in current:
        s, v = lif(torch.tensor([[[x]]]), dynamics, state, v)
        seen.append((s.item(), v.item()))
    return seen


def spikes(lif: Scan, current: list[float], dynamics: Dynamics, state: State | None = None, start: float = 0.0) -> list[float]:
    return lif(torch.tensor(current).reshape(-1, 1, 1), dynamics, state, torch.tensor([[start]]))[0].flatten().tolist()


@pytest.mark.parametrize(
    ("current", "membrane", "fired"),
    [
        (1.5, [0.75, 0.0, 0.75, 0.0], [0, 1, 0, 1]),
        (0.9, [0.45, 0.675, 0.7875, 0.84375], [0, 0, 0, 0]),
        (2.0, [0.0, 0.0, 0.0, 0.0], [1, 1, 1, 1]),
    ],
)
def test_spikingjelly_by_hand(lif: Scan, current: float, membrane: list[float], fired: list[int]) -> None:
    seen = trace(lif, [current] * 4, SPIKING_JELLY)
    assert [s for s, _ in seen] == fired
    assert [v for _, v in seen] == pytest.approx(membrane)


@pytest.mark.parametrize(
    ("dynamics", "expected"),
    [
        (Dynamics(ONE, "scale", decay=0.5, reset="none"), 0.5 * 4 + 3),
        (Dynamics(ONE, "scale", decay=0.5, gain=0.25, reset="none"), 0.5 * 4 + 0.75),
        (Dynamics(ONE, "relax_input", tau=4.0, reset="none"), 4 + (3 - 4) / 4),
        (Dynamics(ONE, "relax", tau=4.0, reset="none"), 4 - 1 + 3),
        (Dynamics(torch.tensor(9.0), "relax_input", tau=4.0, reset="value", reset_value=-2.0), 4 + (3 - 6) / 4),
        (Dynamics(torch.tensor(9.0), "relax", tau=4.0, reset="value", reset_value=-2.0), 4 - 6 / 4 + 3),
        (Dynamics(ONE, "shift", shift=3, reset="none"), 4 - 0 + 3),
        (Dynamics(ONE, "shift", shift=1, gain=2.0, reset="none"), 4 - 2 + 6),
        (Dynamics(ONE, "shift_min1", shift=3, reset="none"), 4 - 1 + 3),
        (Dynamics(ONE, "multiply_shift", multiplier=5, shift=3, reset="none"), 2 + 3),
        (Dynamics(ONE, "multiply_shift", multiplier=5, shift=3, leak_rounding="half_up", reset="none"), 3 + 3),
    ],
)
def test_charges_by_hand(lif: Scan, dynamics: Dynamics, expected: float) -> None:
    assert trace(lif, [3.0], dynamics, start=4.0)[0][1] == expected
    assert charge(torch.tensor(4.0), torch.tensor(3.0), dynamics) == expected


def test_rounded_leaks_of_negative_membranes_by_hand(lif: Scan) -> None:
    for kind, choices, expected in [
        ("shift", {"shift": 2}, -5 + 2),
        ("shift_min1", {"shift": 2}, -5 + 2),
        ("shift_min1", {"shift": 9}, -5 + 1),
        ("multiply_shift", {"multiplier": 3, "shift": 2, "leak_rounding": "trunc"}, -3),
        ("multiply_shift", {"multiplier": 3, "shift": 2, "leak_rounding": "floor"}, -4),
        ("multiply_shift", {"multiplier": 1, "shift": 1, "leak_rounding": "half_up"}, -2),
    ]:
        assert trace(lif, [0.0], Dynamics(torch.tensor(99.0), kind, **choices), start=-5.0)[0][1] == expected


@pytest.mark.parametrize("rounding", ["floor", "trunc", "half_up"])
@pytest.mark.parametrize(("bits", "multiplier"), [(16, 4095), (16, 3687), (24, 65535), (24, 2047)])
def test_a_leak_is_exact_where_its_product_is_wider_than_float32(lif: Scan, bits: int, multiplier: int, rounding: str) -> None:
    shift, half = multiplier.bit_length(), 2 ** (bits - 1)
    v = np.arange(-half, half, max(half >> 15, 1)) | 1
    product = v * multiplier
    exact = {"floor": product >> shift, "trunc": np.sign(product) * (np.abs(product) >> shift)}
    exact["half_up"] = (product + (1 << (shift - 1))) >> shift
    how = Dynamics(torch.tensor(2.0**24), "multiply_shift", multiplier=multiplier, shift=shift, leak_rounding=rounding)
    state = State(integers(1.0, -half, 2 * half), "half_up")
    found = lif(torch.zeros(1, 1, len(v)), how, state, torch.tensor(v).float().unsqueeze(0))[1]
    assert np.array_equal(found.squeeze(0).numpy().astype(np.int64), exact[rounding])


def test_resets_by_hand(lif: Scan) -> None:
    for reset, expected in [("subtract", [(1, 0.75), (1, 1.5), (1, 2.25)]), ("none", [(1, 1.75), (1, 3.5), (1, 5.25)])]:
        assert trace(lif, [1.75] * 3, Dynamics(ONE, reset=reset)) == expected
    to_value = Dynamics(ONE, reset="value", reset_value=-0.5)
    assert trace(lif, [1.75] * 3, to_value) == [(1, -0.5), (1, -0.5), (1, -0.5)]


def test_a_delayed_reset_subtracts_after_the_leak(lif: Scan) -> None:
    # 1.5 fires; .75 + 1.5 - 1 = 1.25 fires; .625 + 1.5 - 1 = 1.125 fires
    assert trace(lif, [1.5] * 3, SNNTORCH) == [(1, 1.5), (1, 1.25), (1, 1.125)]


def test_a_delayed_reset_to_a_value_comes_before_the_leak(lif: Scan) -> None:
    # 1.5 fires; .5 * .25 + 1.5 = 1.625 fires
    dynamics = SNNTORCH._replace(reset="value", reset_value=0.25)
    assert trace(lif, [1.5] * 3, dynamics) == [(1, 1.5), (1, 1.625), (1, 1.625)]


def test_a_delayed_reset_waits_in_the_state(lif: Scan) -> None:
    assert trace(lif, [0.0], SNNTORCH, start=3.0) == [(0, 0.5)]
    assert trace(lif, [0.0], SNNTORCH, start=0.8) == [(0, pytest.approx(0.4))]


def test_compare(lif: Scan) -> None:
    for compare, fired in ((">=", [0, 1, 1]), (">", [0, 0, 1])):
        dynamics = Dynamics(ONE, decay=0.0, reset="none", compare=compare)
        assert spikes(lif, [0.999, 1.0, 1.001], dynamics) == fired


def test_thresholds_and_decays_of_channels(lif: Scan) -> None:
    constants = {"threshold": torch.tensor([[1.0, 2.0]]), "decay": torch.tensor([[0.5, 1.0]])}
    s, v = lif(torch.ones(3, 1, 2), Dynamics(reset="none", **constants))
    assert s[:, 0].tolist() == [[1, 0], [1, 1], [1, 1]]
    assert v.tolist() == [[1.75, 3.0]]
    space = {name: constant.reshape(1, 2, 1, 1) for name, constant in constants.items()}
    s, _ = lif(torch.ones(3, 1, 2, 2, 2), Dynamics(reset="none", **space))
    assert s[:, 0, :, 1, 0].tolist() == [[1, 0], [1, 1], [1, 1]]


HALVES = integers(0.5, -4, 9)


def test_when_the_state_is_snapped(lif: Scan) -> None:
    # charge .8: snapped before firing it is 1 and fires; else it is .8, silent, and stored as 1
    integrate = Dynamics(ONE)
    assert trace(lif, [0.8], integrate, State(HALVES, snapped="before_fire")) == [(1, 0.0)]
    assert trace(lif, [0.8], integrate, State(HALVES, snapped="after_reset")) == [(0, 1.0)]
    assert trace(lif, [0.8], integrate, State(HALVES, snapped="both")) == [(1, 0.0)]
    # reset to .7 after firing: only a grid after the reset sees it
    to_value = Dynamics(ONE, reset="value", reset_value=0.7)
    assert [trace(lif, [1.0], to_value, State(HALVES, snapped=when))[0][1] for when in ("before_fire", "after_reset", "both")] == [
        pytest.approx(0.7), 0.5, 0.5,
    ]  # fmt: skip


def test_the_threshold_sees_the_stored_or_the_full_membrane(lif: Scan) -> None:
    # .8 is stored as 1: fires as stored, not in full; 1.2 is stored as 1: fires both ways
    for compare_at, expected in (("stored", [(1, 0.0), (1, 0.0)]), ("full", [(0, 1.0), (1, 0.0)])):
        dynamics = Dynamics(ONE, decay=0.0, compare_at=compare_at)
        assert trace(lif, [0.8, 1.2], dynamics, State(HALVES)) == expected


def test_a_state_shift_keeps_the_top_of_the_sum(lif: Scan) -> None:
    # v 3 stands for 12; 12 - 3 (leak) + 6 = 15; 15 / 4 = 3.75, stored as 4 (threshold 4) or 3 when truncated
    state = State(integers(1.0, -8, 16))
    for rounding, compare_at, expected in [
        ("nearest_even", "stored", (1, 0.0)),
        ("nearest_even", "full", (0, 4.0)),
        ("truncate", "stored", (0, 3.0)),
    ]:
        dynamics = Dynamics(torch.tensor(4.0), "shift", shift=2, state_shift=2, compare_at=compare_at)
        assert trace(lif, [6.0], dynamics, state._replace(rounding=rounding), start=3.0) == [expected]


def test_a_delayed_reset_subtracts_the_threshold_in_stored_units(lif: Scan) -> None:
    # 5 fired; it stands for 20; (20 + 4) / 4 - 4 = 2
    dynamics = Dynamics(torch.tensor(4.0), state_shift=2, reset_timing="next")
    assert trace(lif, [4.0], dynamics, State(integers(1.0, -8, 16)), start=5.0) == [(0, 2.0)]


def test_overflow_saturates_or_wraps(lif: Scan) -> None:
    grid, dynamics = integers(1.0, -8, 16), Dynamics(torch.tensor(99.0))
    for charge_, saturated, wrapped in [(7.0, 7, 7), (8.0, 7, -8), (9.0, 7, -7), (-9.0, -8, 7), (100.0, 7, 4), (-100.0, -8, -4)]:
        assert trace(lif, [charge_], dynamics, State(grid))[0][1] == saturated
        assert trace(lif, [charge_], dynamics, State(grid, wrap=True))[0][1] == wrapped


@pytest.mark.parametrize(("rounding", "expected"), [("truncate", 2), ("half_up", 3), ("nearest_even", 2)])
def test_wrapping_rounds_as_the_state_says(lif: Scan, rounding: str, expected: float) -> None:
    state = State(integers(1.0, -8, 16), rounding, wrap=True)
    assert trace(lif, [10.0], Dynamics(torch.tensor(99.0), state_shift=2), state)[0][1] == expected
    assert trace(lif, [10.0 + 64.0], Dynamics(torch.tensor(99.0), state_shift=2), state)[0][1] == expected


def test_channels_wrap_by_their_own_range() -> None:
    grid = integers(torch.ones(2), -8, 16, axis=1)._replace(lowest=torch.tensor([-8.0, 0.0]))
    _, v = reference.lif_scan(torch.full((1, 1, 2, 3), 9.0), Dynamics(torch.tensor(99.0)), State(grid, wrap=True))
    assert v[0].tolist() == [[-7.0] * 3, [9.0] * 3]


def smallest_firing(lif: Scan, low: float, count: int) -> float:
    """The least current that fires a membrane at rest, which takes the current over as it is."""
    current = torch.linspace(0, 1, 100_001)
    fired, _ = lif(current.reshape(1, 1, -1), Dynamics(ONE, decay=0.0), State(affine(low, 1.0, count)))
    return current[fired.flatten().bool()].min().item()


@pytest.mark.parametrize(
    ("bits", "unsigned", "signed"), [(2, 0.8333, 0.6667), (4, 0.9667, 0.9333), (6, 0.9921, 0.9841), (8, 0.9980, 0.9961)]
)
def test_effective_thresholds(lif: Scan, bits: int, unsigned: float, signed: float) -> None:
    assert smallest_firing(lif, 0.0, 2**bits) == pytest.approx(unsigned, abs=6e-5)
    assert smallest_firing(lif, -1.0, 2**bits) == pytest.approx(signed, abs=6e-5)
    assert smallest_firing(lif, -1.0, 3) == pytest.approx(0.5, abs=6e-5)


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_threshold_at_the_top_level_fires_only_when_reached_is_enough(lif: Scan, bits: int) -> None:
    for low, compare, fired in ((0.0, ">=", 1), (-1.0, ">=", 1), (0.0, ">", 0), (-1.0, ">", 0)):
        assert spikes(lif, [9.0], SPIKING_JELLY._replace(compare=compare), State(affine(low, 1.0, 2**bits))) == [fired]


def test_a_signed_membrane_of_two_bits_never_rests_at_zero(lif: Scan) -> None:
    assert trace(lif, [0.0] * 5, SPIKING_JELLY, State(affine(-1.0, 1.0, 4))) == [(0, pytest.approx(1 / 3))] * 5
    assert trace(lif, [0.0], SPIKING_JELLY, State(affine(0.0, 1.0, 4)), start=1 / 3) == [(0, 0.0)]


def test_slow_inputs_are_lost_on_coarse_grids(lif: Scan) -> None:
    third = pytest.approx(1 / 3)
    two_thirds = pytest.approx(2 / 3)
    assert trace(lif, [0.9] * 4, SPIKING_JELLY, State(affine(0.0, 1.0, 4))) == [(0, third)] + [(0, two_thirds)] * 3
    assert trace(lif, [0.9] * 4, SPIKING_JELLY, State(affine(-1.0, 1.0, 4))) == [(0, third)] * 4


def test_noise_is_asked_for_every_step_and_used() -> None:
    asked = []

    def noise(step: int, like: Tensor) -> Tensor:
        asked.append((step, tuple(like.shape)))
        return torch.tensor([0.2, 0.8]).expand(like.shape)

    state = State(integers(1.0, -8, 16), "stochastic")
    _, v = twins.lif_scan(torch.full((2, 1, 2), 0.5), Dynamics(torch.tensor(9.0)), state, noise=noise)
    assert asked == [(0, (1, 2)), (1, (1, 2))]
    assert v.tolist() == [[2.0, 0.0]]  # .5 up, 1.5 up; .5 down, .5 down
    with pytest.raises(SpecError, match="needs noise"):
        twins.lif_scan(torch.full((2, 1, 2), 0.5), Dynamics(ONE), state)


def test_stochastic_membranes_repeat() -> None:
    current = torch.rand(6, 4, 5, generator=torch.Generator().manual_seed(0))
    state = State(affine(-1.0, 1.0, 16), "stochastic")

    def last(seed: int) -> Tensor:
        return twins.lif_scan(current, SPIKING_JELLY, state, noise=lambda step, _: uniform(seed, 0, step, torch.arange(20).reshape(4, 5)))[
            1
        ]

    assert torch.equal(last(1), last(1))
    assert not torch.equal(last(1), last(2))


KINDS = {
    "snntorch": (SNNTORCH, State(affine(-1.0, 1.2, 16))),
    "spikingjelly": (SPIKING_JELLY, State(affine(0.0, 1.0, 16), snapped="both")),
    "table": (SPIKING_JELLY, State(table(torch.tensor([-1.0, 0.0, 0.6, 0.9, 1.0, 1.2])))),
    "float": (Dynamics(ONE, decay=0.9), None),
    "integer": (Dynamics(torch.tensor(20.0), "multiply_shift", multiplier=230, shift=8), State(integers(1.0, -128, 256))),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_going_on_from_a_state_equals_one_long_scan(lif: Scan, kind: str) -> None:
    dynamics, state = KINDS[kind]
    current = torch.randn(9, 3, 4, generator=torch.Generator().manual_seed(0)) * dynamics.threshold
    current = current.round() if kind == "integer" else current
    whole, last = lif(current, dynamics, state)
    first, v = lif(current[:4], dynamics, state)
    second, v = lif(current[4:], dynamics, state, v)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(v, last)
    assert 0 < whole.mean() < 1


def test_one_step_stands_for_many(lif: Scan) -> None:
    x = torch.rand(1, 2, 3, requires_grad=True)
    s, v = lif(x, SPIKING_JELLY, steps=5)
    many = x.detach().repeat(5, 1, 1).requires_grad_()
    s_many, v_many = lif(many, SPIKING_JELLY)
    assert torch.equal(s, s_many)
    assert torch.equal(v, v_many)
    (s.sum() + v.sum()).backward()
    (s_many.sum() + v_many.sum()).backward()
    assert torch.allclose(x.grad, many.grad.sum(0, keepdim=True))


def test_gradient_by_hand(lif: Scan) -> None:
    """Two steps of subtracting reset, triangle of slope 1: v1 = x1 - s1; u2 = .5 v1 + x2."""
    x = torch.tensor([0.8, 0.7]).reshape(2, 1, 1).requires_grad_()
    for detached, to_first in ((True, 0.5 * 0.9), (False, 0.5 * 0.9 * (1 - 0.8))):
        dynamics = Dynamics(ONE, decay=0.5, surrogate=Surrogate("triangle", 1.0), detach_reset=detached)
        s, _ = lif(x, dynamics)  # u1 = .8, silent, slope .8; u2 = .4 + .7 = 1.1, fires, slope .9
        assert s.flatten().tolist() == [0, 1]
        (gradient,) = torch.autograd.grad(s[1].sum(), x)
        assert gradient.flatten().tolist() == pytest.approx([to_first, 0.9])


def test_gradient_through_a_mask_by_hand(lif: Scan) -> None:
    x = torch.tensor([1.3, 0.2]).reshape(2, 1, 1).requires_grad_()
    for gradient, expected in (("pass", [0.5, 1.0]), ("mask", [0.0, 1.0])):
        _, v = lif(x, Dynamics(torch.tensor(9.0), decay=0.5), State(affine(-1.0, 1.0, 5), gradient=gradient))
        (found,) = torch.autograd.grad(v.sum(), x)
        assert found.flatten().tolist() == expected


@pytest.mark.parametrize(
    ("choices", "through_leak"),
    [
        ({"charge": "shift", "shift": 2}, 0.75),
        ({"charge": "shift_min1", "shift": 2}, 0.75),
        ({"charge": "multiply_shift", "multiplier": 13, "shift": 4, "leak_rounding": "floor"}, 13 / 16),
        ({"charge": "multiply_shift", "multiplier": 13, "shift": 4, "leak_rounding": "half_up"}, 13 / 16),
    ],
)
def test_the_gradient_of_a_rounded_leak_is_that_of_the_leak(lif: Scan, choices: dict[str, object], through_leak: float) -> None:
    x = torch.tensor([7.0, 5.0, 3.0]).reshape(3, 1, 1).requires_grad_()
    for shift in (0, 2):
        _, v = lif(x, Dynamics(torch.tensor(99.0), state_shift=shift, **choices), State(integers(1.0, -64, 128)))
        (gradient,) = torch.autograd.grad(v.sum(), x)
        assert gradient.flatten().tolist() == pytest.approx([through_leak**2 / 2**shift, through_leak / 2**shift, 1 / 2**shift])


def plain(current: Tensor, d: Dynamics, low: float, high: float, count: int, mask: bool) -> tuple[Tensor, Tensor]:
    """The same neuron once more, as short as autograd allows."""
    v, seen, width = torch.zeros_like(current[0]), [], (high - low) / (count - 1)

    def fire(u: Tensor) -> Tensor:
        slope = DERIVATIVES[d.surrogate.kind](u.detach(), d.surrogate.slope)
        return (u >= 0).to(u) + slope * (u - u.detach())

    for x in current:
        late = fire(v - d.threshold)
        late = late.detach() if d.detach_reset else late
        if d.reset_timing == "next" and d.reset == "value":
            v = v * (1 - late) + late * d.reset_value
        u = {"scale": d.decay * v + x, "relax": v - v / d.tau + x, "relax_input": v + (x - v) / d.tau}[d.charge]
        if d.reset_timing == "next" and d.reset == "subtract":
            u = u - late * d.threshold
        rounded = ((u.clamp(low, high) - low) / width).round() * width + low
        through = u.clamp(low, high) if mask else u
        w = rounded.detach() + (through - through.detach())
        s = fire(w - d.threshold)
        back = s.detach() if d.detach_reset else s
        if d.reset_timing == "now":
            w = {"subtract": w - back * d.threshold, "value": w * (1 - back) + back * d.reset_value, "none": w}[d.reset]
        v = w
        seen.append(s)
    return torch.stack(seen), v


@pytest.mark.parametrize(("kind", "reset"), list(itertools.product(("scale", "relax", "relax_input"), ("subtract", "value", "none"))))
@pytest.mark.parametrize("timing", ["now", "next"])
def test_gradient_equals_a_plain_autograd_form(lif: Scan, kind: str, reset: str, timing: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for detached, mask in itertools.product((True, False), repeat=2):
        dynamics = Dynamics(
            ONE, kind, decay=0.75, tau=4.0, reset=reset, reset_timing=timing, detach_reset=detached, surrogate=Surrogate("sigmoid", 3.0)
        )
        current = (torch.randn(6, 4, 5, generator=generator) + 0.4).requires_grad_()
        pulls = torch.randn(7, 4, 5, generator=generator)
        answers = []
        state = State(affine(-1.5, 1.25, 12), gradient="mask" if mask else "pass")
        for s, v in (lif(current, dynamics, state), plain(current, dynamics, -1.5, 1.25, 12, mask)):
            (gradient,) = torch.autograd.grad((s * pulls[:6]).sum() + (v * pulls[6]).sum(), current)
            answers.append((s.detach(), v.detach(), gradient))
        for found, expected in zip(*answers, strict=True):
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_learned_constants_and_steps_get_gradients() -> None:
    threshold, decay, step = (torch.tensor(value, requires_grad=True) for value in (1.0, 0.9, 0.25))
    s, v = twins.lif_scan(torch.full((4, 1, 1), 0.6), Dynamics(threshold, decay=decay), State(integers(step, -8, 16)))
    (s.sum() + v.sum()).backward()
    assert all(each.grad is not None and each.grad.abs() > 0 for each in (threshold, decay, step))


@pytest.mark.parametrize(
    ("choices", "mean_error", "fixed", "ends"),
    [
        ({"charge": "shift", "shift": 2}, 0.375, [0, 1, 2, 3], (3, 0)),
        ({"charge": "multiply_shift", "multiplier": 192, "shift": 8, "leak_rounding": "half_up"}, 0.125, [-1, 0, 1, 2], (2, -1)),
        ({"charge": "multiply_shift", "multiplier": 3072, "shift": 12, "leak_rounding": "trunc"}, 0.0, [0], (0, 0)),
        ({"charge": "shift_min1", "shift": 2}, 0.363, [0], (0, 0)),
    ],
)
def test_leaks_over_all_states_of_a_byte(
    lif: Scan, choices: dict[str, object], mean_error: float, fixed: list[int], ends: tuple[int, int]
) -> None:
    states = torch.arange(-128.0, 128.0).unsqueeze(0)
    dynamics, held = Dynamics(torch.tensor(1e6), **choices), State(integers(1.0, -128, 256))
    zero = torch.zeros(1, 1, 256)
    _, leaked = lif(zero, dynamics, held, states)
    assert (leaked - 0.75 * states).mean().item() == pytest.approx(mean_error, abs=5e-4)
    assert states[leaked == states].tolist() == fixed
    _, settled = lif(zero.expand(200, 1, 256).contiguous(), dynamics, held, states)
    assert (settled[0, -1].item(), settled[0, 0].item()) == ends


@pytest.mark.parametrize(("decay", "low", "high"), [(0.9, -4, 4), (0.95, -9, 9), (0.99, -49, 49)])
def test_stall_zone_of_a_half_up_leak(lif: Scan, decay: float, low: int, high: int) -> None:
    states = torch.arange(-128.0, 128.0).unsqueeze(0)
    dynamics = Dynamics(torch.tensor(1e6), "multiply_shift", multiplier=round(decay * 256), shift=8, leak_rounding="half_up")
    _, leaked = lif(torch.zeros(1, 1, 256), dynamics, State(integers(1.0, -128, 256)), states)
    stalled = states[leaked == states]
    assert low <= stalled.min() <= low + 9
    assert high - 9 <= stalled.max() <= high


def whole_step(v: np.ndarray, acc: np.ndarray, leak: str, q: int, soft: bool, wrap: bool) -> tuple[np.ndarray, np.ndarray]:
    """The normative integer step of 4 bits in int64: leak(v << q) + acc, round, overflow, fire at 5, reset."""
    wide = v << q
    leaks = {
        "shift": wide - (wide >> 2),
        "min1": wide - np.where(wide >> 2 == 0, np.sign(wide), wide >> 2),
        "floor": wide * 11 >> 4,
        "trunc": np.sign(wide) * (np.abs(wide) * 11 >> 4),
        "half_up": wide * 11 + 8 >> 4,
    }
    w = (leaks[leak] + acc) >> q if q == 0 else (leaks[leak] + acc + (1 << q - 1)) >> q
    w = (w + 8) % 16 - 8 if wrap else np.clip(w, -8, 7)
    z = (w >= 5).astype(np.int64)
    return z, w - z * 5 if soft else np.where(z == 1, -2, w)


LEAKS = {
    "shift": {"charge": "shift", "shift": 2},
    "min1": {"charge": "shift_min1", "shift": 2},
    **{each: {"charge": "multiply_shift", "multiplier": 11, "shift": 4, "leak_rounding": each} for each in ("floor", "trunc", "half_up")},
}


@pytest.mark.parametrize("leak", sorted(LEAKS))
@pytest.mark.parametrize("q", [0, 1, 3])
def test_every_integer_step_is_exact(lif: Scan, leak: str, q: int) -> None:
    v, acc = (each.reshape(1, -1) for each in np.meshgrid(np.arange(-8, 8), np.arange(-300, 301), indexing="ij"))
    for soft, wrap in itertools.product((True, False), repeat=2):
        dynamics = Dynamics(torch.tensor(5.0), reset="subtract" if soft else "value", reset_value=-2.0, state_shift=q, **LEAKS[leak])
        state = State(integers(1.0, -8, 16), "half_up", wrap=wrap)
        s, after = lif(torch.tensor(acc).float().unsqueeze(0), dynamics, state, torch.tensor(v).float())
        fired, kept = whole_step(v, acc, leak, q, soft, wrap)
        assert np.array_equal(s[0].numpy(), fired)
        assert np.array_equal(after.numpy(), kept)


def test_worked_fold(lif: Scan) -> None:
    dynamics = Dynamics(torch.tensor(19.0), "shift", shift=1, reset="value")
    assert trace(lif, [2.0, -1.0, 1.0, -3.0], dynamics, State(integers(1.0, -128, 256))) == [(0, 2), (0, 0), (0, 1), (0, -2)]


def test_an_infinite_current_saturates(lif: Scan) -> None:
    assert trace(lif, [math.inf, -math.inf], SPIKING_JELLY, State(affine(-1.0, 1.0, 5))) == [(1, 0.0), (0, -1.0)]


def test_float64_stays_and_fires_at_its_rail() -> None:
    for bits in range(1, 17):
        s, v = twins.lif_scan(torch.full((2, 1, 1), 9.0, dtype=torch.float64), SPIKING_JELLY, State(affine(-1.0, 1.0, 2**bits)))
        assert (s.dtype, v.dtype, s.sum().item()) == (torch.float64, torch.float64, 2)


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4,), ()])
def test_empty_or_flat_currents_are_refused(lif: Scan, shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"must be \[time, batch, \.\.\.\] and not empty, got shape"):
        lif(torch.zeros(shape), SPIKING_JELLY)


def test_a_start_of_another_shape_is_refused(lif: Scan) -> None:
    with pytest.raises(MismatchError, match=r"the start has shape \(3, 2\), one step of the current \(2, 3\)"):
        lif(torch.zeros(4, 2, 3), SPIKING_JELLY, None, torch.zeros(3, 2))


def test_steps_beside_many_steps_are_refused(lif: Scan) -> None:
    for current, steps in ((torch.zeros(2, 1, 1), 3), (torch.zeros(1, 1, 1), 0)):
        with pytest.raises(MismatchError, match="steps must be at least 1 and the current a single time step"):
            lif(current, SPIKING_JELLY, steps=steps)


def test_nan_is_counted_and_refused(lif: Scan) -> None:
    sound, broken = torch.zeros(1, 1, 4), torch.tensor([[[0.0, math.nan, 1.0, math.nan]]])
    with pytest.raises(SpecError, match="the current of a neuron holds 2 NaN"):
        lif(broken, SPIKING_JELLY)
    with pytest.raises(SpecError, match="the start of a neuron holds 2 NaN"):
        lif(sound, SPIKING_JELLY, None, broken[0])


@pytest.mark.parametrize("name", ["graded_scan", "trace_scan", "refractory_scan", "compete"])
def test_the_other_loops_refuse_nan_and_emptiness_too(name: str) -> None:
    given = {
        "graded_scan": (Dynamics(torch.tensor(1.0)), torch.tensor(True)),
        "trace_scan": (torch.tensor(0.5), torch.tensor(0.5)),
        "refractory_scan": (numerics.Refractory(torch.tensor(0.5), torch.tensor(1.0)),),
        "compete": (numerics.Competition(), torch.tensor(1.0)),
    }
    with pytest.raises(SpecError, match="holds 1 NaN"):
        getattr(numerics, name)(torch.tensor([[[0.0, math.nan]]]), *given[name])
    with pytest.raises(MismatchError, match="not empty"):
        getattr(numerics, name)(torch.zeros(0, 1, 2), *given[name])


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("charge", "shft", "; did you mean 'shift'"),
        ("leak_rounding", "ceil", ""),
        ("reset", "zero", ""),
        ("reset_timing", "later", ""),
        ("compare", "=>", ""),
        ("compare_at", "fulll", "; did you mean 'full'"),
        ("surrogate", "atan", "; did you mean 'arctan'"),
        ("rounding", "nearest", ""),
        ("gradient", "ste", ""),
        ("snapped", "before", ""),
    ],
)
def test_an_unknown_choice_is_refused_with_the_nearest_name(lif: Scan, field: str, value: str, nearest: str) -> None:
    given: Any = {field: Surrogate(value) if field == "surrogate" else value}
    of_state = field in State._fields
    state = State(affine(0.0, 1.0, 4), **given) if of_state else None
    d = Dynamics(ONE) if of_state else Dynamics(ONE, **given)
    message = f"unknown {field.replace('_', ' ')} '{value}': must be one of .*{nearest}"
    with pytest.raises(SpecError, match=message):
        lif(torch.zeros(1, 1, 1), d, state)
    with pytest.raises(SpecError, match=message):
        twins.norm_scan(torch.zeros(1, 1, 1, 1, 1), numerics.Norm(ONE, ONE), d, state)


def test_a_table_has_no_rounding_to_choose(lif: Scan) -> None:
    with pytest.raises(SpecError, match="rounding 'truncate' does not fit a table"):
        lif(torch.zeros(1, 1, 1), Dynamics(ONE), State(table(torch.tensor([0.0, 1.0])), "truncate"))


def test_charges_are_those_of_the_type() -> None:
    assert set(CHARGES) == set(get_args(reference.Charge))
