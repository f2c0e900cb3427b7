import copy
import itertools

import pytest
import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import IF, LIF, Competing
from spikequant.numerics import Surrogate
from spikequant.quantizers import Anchored, FixedPoint, LQNet, QuantizerSpec, ThresholdCentered, Uniform, ZeroCentered

THIRDS = Uniform(bits=2, low=0.0, high=1.0)  # levels 0, 1/3, 2/3, 1
ONES = FixedPoint(integer=1, fraction=0)  # levels -2, -1, 0, 1; a half goes up
WHOLE = {"decay": 1.0, "multiplier": 3, "shift": 2, "threshold": 9.0}


def column(values: list[float]) -> Tensor:
    """One neuron's current ``[time, 1, 1]``."""
    return torch.tensor(values).reshape(-1, 1, 1)


def trace(neuron: LIF, values: list[float]) -> tuple[list[float], list[float]]:
    """Spike and membrane of one neuron after every step, each step a scan of its own."""
    spikes, membranes, v = list[float](), list[float](), None
    for x in column(values):
        s, v = neuron.scan(x.unsqueeze(0), v)
        spikes.append(s.item())
        membranes.append(v.item())
    return spikes, membranes


# Neuron, current, spikes, membranes: worked out by hand; all numbers are dyadic, so equality is exact.
TRACES = {
    "subtract": (LIF(decay=0.5), [1.5, 0.5, 0.5, 1.0], [1, 0, 0, 1], [0.5, 0.75, 0.875, 0.4375]),
    "to zero": (LIF(decay=0.5, reset="value"), [1.5, 0.5, 0.5, 1.0], [1, 0, 0, 1], [0.0, 0.5, 0.75, 0.0]),
    "to a value": (LIF(decay=0.5, reset="value", reset_value=-0.5), [1.5, 0.5, 1.0], [1, 0, 1], [-0.5, 0.25, -0.5]),
    "no reset": (LIF(decay=0.5, reset="none"), [1.5, 0.5, 0.5], [1, 1, 1], [1.5, 1.25, 1.125]),
    "subtract next": (LIF(decay=0.5, reset_timing="next"), [1.5, 0.5, 0.5, 1.0], [1, 0, 0, 1], [1.5, 0.25, 0.625, 1.3125]),
    "to zero next": (LIF(decay=0.5, reset="value", reset_timing="next"), [1.5, 0.5, 0.5], [1, 0, 0], [1.5, 0.5, 0.75]),
    "at the threshold": (LIF(decay=1.0), [1.0, 1.0], [1, 1], [0.0, 0.0]),
    "beyond the threshold": (LIF(decay=1.0, compare=">"), [1.0, 1.0], [0, 1], [1.0, 1.0]),
    "threshold": (LIF(decay=1.0, threshold=2.0), [1.5, 0.5, 0.25], [0, 1, 0], [1.5, 0.0, 0.25]),
    "gain": (LIF(decay=0.5, gain=0.25), [2.0, 2.0, 4.0], [0, 0, 1], [0.5, 0.75, 0.375]),
    "tau": (LIF(tau=2.0, reset="value"), [1.5, 1.5, 1.5, 1.5], [0, 1, 0, 1], [0.75, 0.0, 0.75, 0.0]),
    "tau, always": (LIF(tau=2.0, reset="value"), [2.0, 2.0], [1, 1], [0.0, 0.0]),
    "tau, rest": (LIF(tau=2.0, reset="value", reset_value=-0.5), [1.5, 3.0, 0.5], [0, 1, 0], [0.25, -0.5, -0.25]),
    "relax": (LIF(tau=2.0, charge="relax", reset="value"), [0.75, 0.75, 0.5], [0, 1, 0], [0.75, 0.0, 0.5]),
    "relax, rest": (LIF(tau=2.0, charge="relax", reset="value", reset_value=-0.5), [0.75, 1.5, 0.5], [0, 1, 0], [0.25, -0.5, 0.0]),
    "shift": (LIF(decay=1.0, charge="shift", shift=1, threshold=8.0), [5.0, 5.0, 5.0], [0, 1, 0], [5.0, 0.0, 5.0]),
    "shift keeps a little": (LIF(decay=1.0, charge="shift", shift=2, threshold=8.0), [3.0, 0.0, -4.0], [0, 0, 0], [3.0, 3.0, -1.0]),
    "shift_min1": (LIF(decay=1.0, charge="shift_min1", shift=2, threshold=8.0), [3.0, 0.0, -4.0, 0.0], [0] * 4, [3.0, 2.0, -3.0, -2.0]),
    "trunc": (LIF(charge="multiply_shift", **WHOLE), [-2.0, 0.0, 2.0], [0] * 3, [-2.0, -1.0, 2.0]),
    "floor": (LIF(charge="multiply_shift", leak_rounding="floor", **WHOLE), [-2.0, 0.0, 1.0], [0] * 3, [-2.0, -2.0, -1.0]),
    "half_up": (LIF(charge="multiply_shift", leak_rounding="half_up", **WHOLE), [-2.0, 2.0, 0.0], [0] * 3, [-2.0, 1.0, 1.0]),
    "state shift": (LIF(decay=0.5, state_shift=1), [1.5, 0.5], [0, 0], [0.75, 0.625]),
    "compare stored": (LIF(decay=0.5, state=ONES), [0.5, 0.25, 0.75], [1, 0, 1], [0.0, 0.0, 0.0]),
    "compare full": (LIF(decay=0.5, state=ONES, compare_at="full"), [0.5, 0.25, 0.75], [0, 0, 1], [1.0, 1.0, 0.0]),
    "IF": (IF(), [0.5, 0.5, 0.75, 0.5], [0, 1, 0, 1], [0.5, 0.0, 0.75, 0.25]),
}


@pytest.mark.parametrize("name", TRACES)
def test_golden_trace(name: str) -> None:
    neuron, current, spikes, membranes = TRACES[name]
    assert trace(neuron, current) == (spikes, membranes)


@pytest.mark.parametrize("name", TRACES)
def test_one_scan_is_its_steps(name: str) -> None:
    neuron, current, spikes, membranes = TRACES[name]
    scanned, last = neuron.scan(column(current))
    assert (scanned.flatten().tolist(), last.item()) == (spikes, membranes[-1])
    assert neuron(column(current)).equal(scanned)


# Beyond Accuracy, section 3.3: charge, round, fire, reset. tau 2, reset to 0, constant current 0.9.
def test_state_is_rounded_before_firing() -> None:
    spikes, membranes = trace(LIF(tau=2.0, reset="value", state=THIRDS), [0.9] * 4)
    assert spikes == [0] * 4
    assert membranes == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])


def test_rounding_lowers_the_threshold_to_half_a_step() -> None:
    neuron = LIF(decay=0.5, reset="value", state=THIRDS)
    assert neuron(column([0.83])).item() == 0
    assert neuron(column([0.84])).item() == 1


@pytest.mark.parametrize(
    ("snapped", "spikes", "membrane"),
    # Charged to 0.9: rounded first, it is 1 and fires; rounded last, 0.9 does not fire and is stored as 1. With 1.2: 1 - 1 = 0,
    # 1.2 - 1 = 0.2 stored as 1/3, or 1 - 1 = 0.
    [("before_fire", [1, 1], [0.0, 0.0]), ("after_reset", [0, 1], [1.0, 1 / 3]), ("both", [1, 1], [0.0, 0.0])],
)
def test_when_the_state_is_rounded(snapped: str, spikes: list[int], membrane: list[float]) -> None:
    neuron = LIF(decay=0.5, state=THIRDS, snapped=snapped)  # type: ignore[arg-type]
    ones = [trace(neuron, [x]) for x in (0.9, 1.2)]
    assert [s for (s,), _ in ones] == spikes
    assert [v for _, (v,) in ones] == pytest.approx(membrane)


def test_both_rounds_what_a_reset_leaves() -> None:
    halves = Uniform(bits=2, low=-0.5, high=1.0)  # a threshold of 3/8 leaves 5/8 of 1
    assert trace(LIF(decay=1.0, threshold=0.375, state=halves, snapped="before_fire"), [1.0]) == ([1], [0.625])
    assert trace(LIF(decay=1.0, threshold=0.375, state=halves, snapped="both"), [1.0]) == ([1], [0.5])


@pytest.mark.parametrize("detach", [True, False])
def test_detached_reset(detach: bool) -> None:
    # v1 = x1 - s1, s2 = [v1 + x2 >= 1]: ds2/dx1 = g(v1 + x2 - 1) (1 - g(x1 - 1)), the last term only through the reset.
    current = column([1.0, 1.0]).requires_grad_()
    LIF(decay=1.0, detach_reset=detach)(current)[1].sum().backward()
    peak = 1.0  # the arctan surrogate of slope 2 at the threshold
    assert current.grad is not None
    assert current.grad.flatten().tolist() == [peak * (1.0 if detach else 1.0 - peak), peak]


# At a membrane of 1/2, so 1/2 below the threshold: 1 - 1/2; 1 / (3/2 + 1)^2.
@pytest.mark.parametrize(("surrogate", "gradient"), [(Surrogate("triangle", 1.0), 0.5), (Surrogate("fast_sigmoid", 3.0), 0.16)])
def test_surrogate_gives_the_gradient(surrogate: Surrogate, gradient: float) -> None:
    current = column([0.5]).requires_grad_()
    LIF(decay=1.0, surrogate=surrogate)(current).sum().backward()
    assert current.grad is not None
    assert current.grad.item() == pytest.approx(gradient)


def test_surrogate_by_name_takes_the_default_slope() -> None:
    assert LIF(decay=0.5, surrogate="sigmoid").dynamics.surrogate == Surrogate("sigmoid", 2.0)


def test_threshold_and_decay_per_channel() -> None:
    neuron = LIF(decay=torch.tensor([0.5, 1.0]), threshold=torch.tensor([1.0, 2.0]))
    current = torch.full((3, 1, 2), 0.75)
    for channel, alone in enumerate([LIF(decay=0.5, threshold=1.0), LIF(decay=1.0, threshold=2.0)]):
        spikes, last = neuron.scan(current)
        expected, expected_last = alone.scan(current[:, :, channel : channel + 1])
        assert spikes[:, :, channel : channel + 1].equal(expected)
        assert last[:, channel : channel + 1].equal(expected_last)
    assert neuron(current).flatten().tolist() == [0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("space", [(), (3,), (3, 2)])
def test_constants_broadcast_over_space(space: tuple[int, ...]) -> None:
    neuron = LIF(decay=0.5, threshold=torch.tensor([1.0, 3.0]))
    spikes = neuron(torch.full((2, 1, 2, *space), 1.25))
    assert spikes.shape == (2, 1, 2, *space)
    assert spikes[:, :, 0].eq(1).all()
    assert spikes[:, :, 1].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_a_wide_membrane(dtype: torch.dtype) -> None:
    # 4097 is no bfloat16 and no float16; a membrane of either would stay at 256 or 2048 for ever.
    spikes, last = IF(threshold=4098.0).scan(torch.ones(4097, 1, 1, dtype=dtype))
    assert (spikes.dtype, last.dtype) == (dtype, torch.float32)
    assert (spikes.sum().item(), last.item()) == (0, 4097)
    assert IF(threshold=2.0).charged(torch.ones(3, 1, 1, dtype=dtype)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("neuron", [LIF(decay=0.5), Competing(neurons=1)])
def test_half_precision_is_given_back_by_frozen_and_competing_neurons(neuron: LIF, dtype: torch.dtype) -> None:
    neuron = copy.deepcopy(neuron)
    if neuron.freezes:
        neuron.frozen = torch.tensor([False])
    spikes, last = neuron.scan(torch.full((2, 1, 1), 0.75, dtype=dtype))
    assert (spikes.dtype, last.dtype) == (dtype, torch.float32)


def test_float64_is_kept() -> None:
    spikes, last = LIF(decay=0.5).scan(torch.full((2, 1, 1), 0.6, dtype=torch.float64))
    assert (spikes.dtype, last.dtype, last.item()) == (torch.float64, torch.float64, pytest.approx(0.9, abs=1e-15))


def test_a_scan_continues_from_a_start() -> None:
    neuron = LIF(decay=0.75, state=THIRDS)
    current = torch.rand(10, 2, 3, generator=torch.Generator().manual_seed(0))
    whole, last = neuron.scan(current)
    first, middle = neuron.scan(current[:4])
    second, end = neuron.scan(current[4:], middle)
    assert torch.cat([first, second]).equal(whole)
    assert end.equal(last)
    assert 0 < whole.mean() < 1


def test_a_membrane_begins_where_a_reset_puts_it() -> None:
    assert LIF(decay=0.5, reset="value", reset_value=-0.5).rest == -0.5
    assert LIF(decay=0.5, reset_value=-0.5).rest == LIF(decay=0.5, reset="none", reset_value=-0.5).rest == 0.0
    neuron = LIF(tau=2.0, reset="value", reset_value=-0.5)
    assert neuron.scan(column([0.0]))[1].item() == -0.5
    assert neuron.charged(column([0.0])).item() == -0.5
    assert neuron.scan(column([0.5]), torch.zeros(1, 1))[1].item() == 0.0


def test_one_step_stands_for_many() -> None:
    neuron, step = LIF(decay=0.75), torch.rand(1, 2, 3, generator=torch.Generator().manual_seed(0))
    assert neuron(step, 5).equal(neuron(step.expand(5, 2, 3)))
    assert neuron.charged(step, 5).equal(neuron.charged(step.expand(5, 2, 3)))


def test_copies_share_nothing() -> None:
    neuron = LIF(decay=0.5, state=Uniform(bits=4).build((1, 3), 1))
    copied = copy.deepcopy(neuron)
    copied.threshold.fill_(9.0)
    copied.state.low.fill_(-1.0)  # type: ignore[union-attr]
    assert neuron.threshold.item() == 1.0
    assert neuron.state.low.isnan().all()  # type: ignore[union-attr]
    assert trace(LIF(decay=0.5), [1.0])[0] == [1]
    copied.state = neuron.state = None
    assert (trace(neuron, [1.0])[0], trace(copied, [1.0])[0]) == ([1], [0])


def test_state_dict_holds_the_constants() -> None:
    other = LIF(decay=0.25, threshold=2.0)
    assert dict(other.state_dict()) == {"threshold": torch.tensor(2.0), "decay": torch.tensor(0.25)}
    neuron = LIF(decay=0.5)
    neuron.load_state_dict(other.state_dict())
    assert trace(neuron, [1.0, 1.75]) == trace(other, [1.0, 1.75]) == ([0, 1], [1.0, 0.0])


SPECS: list[QuantizerSpec] = [
    THIRDS,
    Uniform(bits=4, low=-1.0, high=1.0, levels_at="zero"),
    Uniform(bits=3, low=-1.0, high=1.0, gradient="mask"),
    FixedPoint(integer=1, fraction=2),
    FixedPoint(integer=1, fraction=2, rounding="truncate"),
    ThresholdCentered(bits=4),
    ZeroCentered(bits=3, upper_limit=1.0),
    Anchored(bits=3),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.label()} {spec.rounding}")
def test_spec_and_quantizer_are_one_state(spec: QuantizerSpec) -> None:
    current = torch.randn(8, 4, 5, generator=torch.Generator().manual_seed(1)) + 0.5
    results = []
    for state in (spec, spec.build((1, 5), 1)):
        own = current.clone().requires_grad_()
        spikes, last = LIF(decay=0.75, state=state).scan(own)
        spikes.sum().backward()
        results.append((spikes, last, own.grad))
    for one, other in zip(*results, strict=True):
        assert one is not None
        assert one.equal(other)
    assert 0 < results[0][0].mean() < 1
    assert not results[0][0].equal(LIF(decay=0.75)(current))


def test_stochastic_state_repeats_itself_in_evaluation() -> None:
    quantizer = FixedPoint(integer=1, fraction=1, rounding="stochastic").build((1, 50), 1)
    neuron, current = LIF(decay=0.5, state=quantizer), torch.full((6, 4, 50), 0.3)
    assert not neuron(current).equal(neuron(current))
    neuron.eval()
    assert neuron(current).equal(neuron(current))
    assert neuron.scan(current[:1])[1].mean().item() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("charge", "reset", "timing"),
    list(itertools.product(["scale", "relax", "relax_input"], ["subtract", "value", "none"], ["now", "next"])),
)
def test_charged_is_the_membrane_that_fires(charge: str, reset: str, timing: str) -> None:
    neuron = LIF(tau=2.0, charge=charge, reset=reset, reset_value=-0.25, reset_timing=timing, threshold=torch.tensor([1.0, 0.5, 2.0]))  # type: ignore[arg-type]
    current = torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(2)) * 2
    charged = neuron.charged(current)
    assert (charged >= neuron.threshold).float().equal(neuron(current))
    v = None
    for x, seen in zip(current, charged, strict=True):
        spikes, v = neuron.scan(x.unsqueeze(0), v)
        kept = spikes[0] == 0 if timing == "now" else torch.ones(4, 3, dtype=torch.bool)
        assert seen[kept].equal(v[kept])


@pytest.mark.parametrize(
    ("neuron", "charged"),
    [
        (LIF(tau=2.0, reset="value"), [0.75, 1.125, 0.75, 1.125]),
        (LIF(decay=0.5), [1.5, 1.75, 1.875, 1.9375]),
        (LIF(decay=0.5, reset_timing="next"), [1.5, 1.25, 1.125, 1.0625]),
        (LIF(decay=0.5, reset="value", reset_timing="next"), [1.5, 1.5, 1.5, 1.5]),
        (LIF(decay=0.5, state_shift=1), [0.75, 1.125, 0.8125, 1.15625]),
        (LIF(decay=0.5, state=THIRDS), [1.5, 1.75, 1.875, 1.9375]),
    ],
    ids=["tau", "subtract", "next", "value next", "shift", "before rounding"],
)
def test_charged_by_hand(neuron: LIF, charged: list[float]) -> None:
    assert neuron.charged(column([1.5] * 4)).flatten().tolist() == charged


def test_charged_needs_no_gradient() -> None:
    assert not LIF(decay=0.5).charged(column([1.0]).requires_grad_()).requires_grad


def test_quantized_decay_turns_tau_into_decay() -> None:
    neuron = LIF(tau=4.0, reset="value")
    assert neuron.decay.item() == 0.75
    neuron.quantize_constant("decay", torch.tensor(0.5))
    assert trace(neuron, [2.0, 2.0]) == ([0, 0], [0.5, 0.75])  # 0.5 v + x / 4
    undecayed = LIF(tau=4.0, charge="relax")
    undecayed.quantize_constant("decay", torch.tensor(0.5))
    assert trace(undecayed, [0.5, 0.5]) == ([0, 0], [0.5, 0.75])  # 0.5 v + x


def test_quantized_threshold_is_used() -> None:
    neuron = LIF(decay=1.0)
    neuron.quantize_constant("threshold", torch.tensor(0.5))
    assert trace(neuron, [0.5]) == ([1], [0.0])


def test_shows_what_it_does() -> None:
    assert "relax_input, reset=value now, compare >= 1" in str(LIF(tau=2.0, reset="value"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a LIF needs either decay or tau, got decay=None and tau=None"),
        ({"decay": 0.5, "tau": 2.0}, "a LIF needs either decay or tau, got decay=0.5 and tau=2.0"),
        ({"tau": 0.5}, "tau must be at least 1 time step, got 0.5; nearest valid value: 1.0"),
        ({"decay": 1.9}, r"decay must be in \[0, 1\], got 1.9; nearest valid value: 1"),
        ({"decay": torch.tensor([0.5, -1.0])}, r"decay must be in \[0, 1\], got -1; nearest valid value: 0"),
        ({"decay": 0.5, "threshold": 0.0}, "threshold must be above 0, got 0.0"),
        ({"decay": 0.5, "threshold": torch.tensor([1.0, -2.0])}, "threshold must be above 0, got -2.0"),
        ({"decay": float("nan")}, "threshold and decay must be finite, got nan"),
        ({"decay": 0.5, "threshold": float("inf")}, "threshold and decay must be finite, got inf"),
        ({"decay": 0.5, "reset": "substract"}, "unknown reset 'substract': must be one of .*; did you mean 'subtract'"),
        ({"decay": 0.5, "charge": "scales"}, "unknown charge 'scales': must be one of .*; did you mean 'scale'"),
        ({"decay": 0.5, "reset_timing": "later"}, "unknown reset_timing 'later': must be one of next, next_charged, now"),
        ({"decay": 0.5, "compare": "<"}, "unknown compare '<': must be one of >, >="),
        ({"decay": 0.5, "compare_at": "store"}, "unknown compare_at 'store': must be one of full, stored; did you mean 'stored'"),
        ({"decay": 0.5, "leak_rounding": "ceil"}, "unknown leak_rounding 'ceil'"),
        ({"decay": 0.5, "snapped": "before"}, "unknown snapped 'before'"),
        ({"decay": 0.5, "reset": "value", "reset_value": 1.0}, "threshold must be above 1, to which a reset puts the membrane, got 1.0"),
        ({"decay": 0.5, "state": 4}, r"state must be a spec or quantizer, such as Uniform\(.*\), got 4"),
        ({"decay": 0.5, "surrogate": None}, "unknown surrogate 'None'"),
        ({"decay": 0.5, "surrogate": {"kind": "arctan"}}, "unknown surrogate .*kind"),
        ({"decay": 0.5, "surrogate": "arctn"}, "unknown surrogate 'arctn': must be one of .*; did you mean 'arctan'"),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        LIF(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [Uniform(bits=4), FixedPoint(integer=None, fraction=4), LQNet(bits=2)], ids=lambda spec: spec.label())
def test_refuses_a_spec_without_a_range_as_state(spec: QuantizerSpec) -> None:
    with pytest.raises(SpecError, match="depends on data"):
        LIF(decay=0.5, state=spec)(column([1.0]))


@pytest.mark.parametrize("channels", [1, 3])
def test_refuses_constants_of_other_channels(channels: int) -> None:
    for name in ("threshold", "decay"):
        neuron = LIF(**{"decay": 0.5, name: torch.tensor([0.5, 0.5])})  # type: ignore[arg-type]
        with pytest.raises(MismatchError, match=f"{name} is for 2 channels, the current of shape .* has {channels}"):
            neuron(torch.ones(2, 1, channels, 4))


def test_refuses_a_rest_with_a_quantized_decay() -> None:
    for neuron in (LIF(tau=2.0, reset="value", reset_value=-0.5), LIF(tau=2.0, rest=-0.5)):
        with pytest.raises(SpecError, match=r"rest at 0, not at -0\.5"):
            neuron.quantize_constant("decay", torch.tensor(0.5))


def test_a_surrogate_with_its_slope() -> None:
    assert LIF(decay=0.5, surrogate=("sigmoid", 4.0)).dynamics.surrogate == Surrogate("sigmoid", 4.0)


@pytest.mark.parametrize("shape", [(3,), (0, 1, 1), (1, 0, 1)])
def test_refuses_an_empty_current(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"\[time, batch, \.\.\.\] and not empty"):
        LIF(decay=0.5)(torch.ones(shape))


def test_refuses_a_start_of_another_shape() -> None:
    with pytest.raises(MismatchError, match=r"the start has shape \(1, 2\), one step of the current \(1, 3\)"):
        LIF(decay=0.5).scan(torch.ones(2, 1, 3), torch.zeros(1, 2))


def test_refuses_nan() -> None:
    with pytest.raises(SpecError, match="the current of a neuron holds 1 NaN"):
        LIF(decay=0.5)(column([1.0, float("nan")]))
