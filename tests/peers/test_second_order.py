"""Neurons with more than a membrane, step by step beside snnTorch 1.0, SpikingJelly 2.0 and Norse 1.1.

Bit for bit, but for what is stated at its test.
"""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikequant.models import Node, adopt
from spikequant.models.adopt.neurons import neuron as adopted
from spikequant.models.layers import layer
from spikequant.neurons import LIF, Alpha, ParametricLIF, Synaptic
from spikequant.numerics import Surrogate
from spikequant.quantizers import ThresholdCentered, Uniform

RESETS = {"subtract": "subtract", "zero": "value", "none": "none"}
RANDOM = [(0.9, 0.8, 1.0), (0.31, 0.77, 0.6), (0.999, 0.05, 2.3), (0.0, 0.5, 0.9)]  # synaptic decay, decay, threshold


def features(steps: int = 16) -> Tensor:
    """``[time, batch, feature]`` of coarse dyadic currents, so that a recurrent product is exact in any order."""
    return (torch.randn(steps, 3, 8, generator=torch.Generator().manual_seed(3)) * 6 + 3).round() / 4


def stepped(neuron: Any, current: Tensor) -> tuple[Tensor, list[Any]]:
    """Ours, one step at a time."""
    spikes, states, held = [], [], None
    for x in current:
        s, held = neuron.scan(x.unsqueeze(0), held)
        spikes.append(s[0])
        states.append(held)
    return torch.stack(spikes), states


def guest(module: Any, current: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """snnTorch's, its states handed on as its users do; a recurrent one takes its spikes as well."""
    spikes, states, held, s = [], [], (), None
    for x in current:
        s, *held = module(x, *((s, *held) if held and hasattr(module, "recurrent") else held))
        spikes.append(s)
        states.append(tuple(each.clone() for each in held))
    return torch.stack(spikes), states


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("alpha", "beta", "threshold"), RANDOM)
def test_synaptic(snntorch: ModuleType, current: Tensor, alpha: float, beta: float, threshold: float, reset: str, delay: bool) -> None:
    module = snntorch.Synaptic(alpha, beta, threshold, reset_mechanism=reset, reset_delay=delay)
    timing = "next_charged" if delay else "now_once"
    neuron = Synaptic(synapse=alpha, decay=beta, threshold=threshold, reset=RESETS[reset], reset_timing=timing, compare=">")
    expected, states = guest(module, current)
    spikes, own = stepped(neuron, current)
    assert spikes.equal(expected)
    assert all(held.i.equal(i) and held.v.equal(v) for held, (i, v) in zip(own, states, strict=True))
    assert 0.05 < spikes.mean() < 0.95


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("spec", [ThresholdCentered(bits=4, upper_limit=1.0), Uniform(bits=5, low=-2.0, high=2.0)], ids=lambda s: s.kind)
def test_synaptic_with_quantized_states(snntorch: ModuleType, current: Tensor, spec: Any, reset: str) -> None:
    """The membrane reads the current before it is rounded, as snnTorch's does."""
    module = snntorch.Synaptic(0.7, 0.8, reset_mechanism=reset, state_quant=spec.build((1,)))
    lif = {"decay": 0.8, "reset": RESETS[reset], "reset_timing": "next_charged", "compare": ">"}
    spikes, own = stepped(Synaptic(synapse=0.7, state=spec, synapse_state=spec, **lif), current)
    expected, states = guest(module, current)
    assert spikes.equal(expected)
    assert all(held.i.equal(i) and held.v.equal(v) for held, (i, v) in zip(own, states, strict=True))
    assert not spikes.equal(stepped(Synaptic(synapse=0.7, **lif), current)[0])


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("beta", "threshold"), [(0.9, 1.0), (0.31, 0.6), (1.0, 2.5)])
@pytest.mark.parametrize("one_to_one", [True, False])
def test_rleaky(snntorch: ModuleType, beta: float, threshold: float, one_to_one: bool, reset: str, delay: bool) -> None:
    options = {"all_to_all": False, "V": torch.tensor(0.375)} if one_to_one else {"linear_features": 8}
    module = snntorch.RLeaky(beta, threshold=threshold, reset_mechanism=reset, reset_delay=delay, **options)
    for parameter in module.recurrent.parameters():
        parameter.data = (parameter.data * 16).round() / 16
    timing = "next_charged" if delay else "now_once"
    neuron = Synaptic(recurrent=module.recurrent, decay=beta, threshold=threshold, reset=RESETS[reset], reset_timing=timing, compare=">")
    current = features()
    expected, states = guest(module, current)
    spikes, own = stepped(neuron, current)
    assert spikes.equal(expected)
    if delay:
        assert all(held.v.equal(v) for held, (v,) in zip(own, states, strict=True))
    assert 0.05 < spikes.mean() < 0.95


def test_recurrent_convolution(snntorch: ModuleType, current: Tensor) -> None:
    module = snntorch.RLeaky(0.8, conv2d_channels=4, kernel_size=3)
    neuron = Synaptic(recurrent=module.recurrent, decay=0.8, reset_timing="next_charged", compare=">")
    spikes, _ = stepped(neuron, current)
    assert spikes.equal(guest(module, current)[0])


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("r", "c", "dt"), [(2.0, 5.3, 1.0), (0.5, 9.0, 0.25), (1.0, 3.7, 1.0)])
def test_lapicque(snntorch: ModuleType, current: Tensor, r: float, c: float, dt: float, reset: str) -> None:
    module = snntorch.Lapicque(R=r, C=c, time_step=dt, threshold=0.08, reset_mechanism=reset)
    found = adopted("here", module, None)
    spikes, own = stepped(layer(Node(name="own", kind=found.kind, inputs=("input",), args=found.args)), current)
    expected, states = guest(module, current)
    assert spikes.equal(expected)
    assert all(v.equal(theirs) for v, (theirs,) in zip(own, states, strict=True))
    assert 0.02 < spikes.mean() < 0.95


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("alpha", "beta", "threshold"), [(0.9, 0.8, 0.6), (0.77, 0.31, 0.2), (0.999, 0.05, 0.3)])
def test_alpha(snntorch: ModuleType, current: Tensor, alpha: float, beta: float, threshold: float, reset: str) -> None:
    module = snntorch.Alpha(alpha, beta, threshold, reset_mechanism=reset)
    neuron = Alpha(decay=alpha, inhibitory=beta, threshold=threshold, reset=RESETS[reset], reset_timing="next", compare=">")
    expected, states = guest(module, current)
    spikes, own = stepped(neuron, current)
    assert spikes.equal(expected)
    for held, (excitatory, inhibitory, v) in zip(own, states, strict=True):
        assert held.v.equal(v)
        assert held.excitatory.equal(excitatory)
        assert held.inhibitory.equal(inhibitory)
    assert 0.02 < spikes.mean() < 0.95


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_leaky_without_delay_and_without_bounds(snntorch: ModuleType, current: Tensor, reset: str) -> None:
    """snnTorch's own order of the reset at once, on membranes of any height."""
    module = snntorch.Leaky(0.9, reset_mechanism=reset, reset_delay=False)
    neuron = LIF(decay=0.9, reset=RESETS[reset], reset_timing="now_once", compare=">")  # type: ignore[arg-type]
    expected, states = guest(module, current * 2)
    spikes, own = stepped(neuron, current * 2)
    assert spikes.equal(expected)
    assert all(v.equal(theirs) for v, (theirs,) in zip(own, states, strict=True))
    if reset == "subtract":
        assert (torch.stack(own) > 2).any()


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
def test_what_is_adopted_has_the_gradient_of_the_guest(snntorch: ModuleType, kind: str, reset: str, delay: bool) -> None:
    """Of a reset one step late snnTorch's gradient sees nothing, of one at once the spike."""
    decays = {"beta": 0.75} if kind == "Leaky" else {"alpha": 0.5, "beta": 0.75}
    theirs = nn.Sequential(getattr(snntorch, kind)(**decays, threshold=0.5, reset_mechanism=reset, reset_delay=delay, init_hidden=True))
    given, weights = torch.tensor([[1.25, 0.5, -0.25, 2.0, 0.75]]), torch.arange(1.0, 7.0).reshape(6, 1, 1)
    found = []
    for run in (adopt(theirs, (5,), time=6).steps, lambda x: torch.stack([theirs(x) for _ in range(6)])):
        x = given.clone().requires_grad_(True)
        (run(x) * weights).sum().backward()
        found.append(x.grad)
    assert torch.allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert found[1].abs().max() > 0.1


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("reset", [0.0, -0.3, None])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("tau", [2.0, 3.7, 20.0])
def test_parametric_lif(spikingjelly: ModuleType, current: Tensor, tau: float, decay_input: bool, reset: float | None, mode: str) -> None:
    node = spikingjelly.ParametricLIFNode(tau, decay_input, v_threshold=0.7, v_reset=reset, step_mode=mode, store_v_seq=mode == "m")
    kind = {"reset": "subtract"} if reset is None else {"reset": "value", "reset_value": reset}
    neuron = ParametricLIF(tau, decay_input, threshold=0.7, surrogate=Surrogate("sigmoid", 4.0), detach_reset=False, **kind)
    assert neuron.w.equal(node.w)
    current = current * (tau if decay_input else 1.0)
    if mode == "m":
        expected, membranes = node(current), node.v_seq
    else:
        pairs = [(node(x), node.v) for x in current]
        expected, membranes = (torch.stack(each) for each in zip(*pairs, strict=True))
    spikes, own = stepped(neuron, current)
    assert spikes.equal(expected)
    assert torch.stack(own).equal(membranes)
    expected.sum().backward()
    neuron(current).sum().backward()
    assert neuron.w.grad is not None
    assert torch.allclose(neuron.w.grad, node.w.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("tau_syn", "tau_mem", "leak", "reset"), [(200.0, 100.0, 0.0, 0.0), (310.0, 77.0, 0.1, -0.25), (50.0, 400.0, 0.0, 0.3)]
)
def test_norse_lif(norse: ModuleType, current: Tensor, tau_syn: float, tau_mem: float, leak: float, reset: float) -> None:
    parameters = norse.lif.LIFParameters(
        *(torch.tensor(value) for value in (tau_syn, tau_mem, leak, 0.4, reset)),
    )
    state = norse.lif.LIFFeedForwardState(v=torch.full_like(current[0], leak), i=torch.zeros_like(current[0]))
    neuron = Synaptic(
        synapse=float(torch.tensor(tau_syn) * 1e-3),
        form="rate",
        decay=0.0,
        charge="rate_input",
        gain=float(torch.tensor(tau_mem) * 1e-3),
        rest=leak,
        threshold=0.4,
        reset="value",
        reset_value=reset,
        compare=">",
    )
    spikes, own = stepped(neuron, current)
    for x, s, held in zip(current, spikes, own, strict=True):
        expected, state = norse.lif.lif_feed_forward_step(x, state, parameters)
        assert s.equal(expected)
        assert held.v.equal(state.v)
        assert held.i.equal(state.i)
    assert 0.02 < spikes.mean() < 0.95


@pytest.mark.parametrize("reset", ["value", "subtract"])
def test_norse_lif_box_of_any_time_constant(norse: ModuleType, current: Tensor, reset: str) -> None:
    box = norse.lif_box
    how = getattr(__import__("norse.torch.functional.reset", fromlist=["x"]), f"reset_{reset}")
    parameters = box.LIFBoxParameters(tau_mem_inv=torch.tensor(333.0), v_th=torch.tensor(0.35), reset_method=how)
    rate = float(torch.tensor(333.0) * 1e-3)
    neuron = LIF(decay=0.0, charge="rate_input", gain=rate, rest=0.0, threshold=0.35, reset=reset, compare=">")  # type: ignore[arg-type]
    state, (spikes, own) = box.LIFBoxFeedForwardState(torch.zeros_like(current[0])), stepped(neuron, current)
    for x, s, v in zip(current, spikes, own, strict=True):
        expected, state = box.lif_box_feed_forward_step(x, state, parameters)
        assert s.equal(expected)
        assert v.equal(state.v)


def test_a_recurrence_that_is_not_fed_back_is_seen(snntorch: ModuleType) -> None:
    module = snntorch.RLeaky(0.9, linear_features=8)
    silent = nn.Linear(8, 8)
    nn.init.zeros_(silent.weight)
    nn.init.zeros_(silent.bias)
    neuron = Synaptic(recurrent=silent, decay=0.9, reset_timing="next_charged", compare=">")
    assert not neuron(features()).equal(guest(module, features())[0])


def drawn(seed: int) -> tuple[Tensor, Tensor, str]:
    """Three random numbers in (0.02, 0.98), random currents, a reset."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(3, generator=generator).mul(0.96).add(0.02)
    return numbers, torch.randn(12, 2, 5, generator=generator) + numbers[2], list(RESETS)[seed % 3]


@pytest.mark.parametrize("seed", range(24))
def test_random_parameters_of_snntorch(snntorch: ModuleType, seed: int) -> None:
    (a, b, threshold), current, reset = drawn(seed)
    late = {"reset": RESETS[reset], "reset_timing": "next_charged", "compare": ">", "threshold": float(threshold)}
    high, low = float(torch.maximum(a, b)), float(torch.minimum(a, b))
    delay = seed % 2 == 0
    plain = {**late, "reset_timing": "next" if delay else "now_once"}
    pairs = [
        (snntorch.Leaky(float(b), float(threshold), reset_mechanism=reset, reset_delay=delay), LIF(decay=float(b), **plain)),  # type: ignore[arg-type]
        (
            snntorch.Synaptic(float(a), float(b), float(threshold), reset_mechanism=reset),
            Synaptic(synapse=float(a), decay=float(b), **late),
        ),
        (
            snntorch.Alpha(high, low, float(threshold), reset_mechanism=reset),
            Alpha(decay=high, inhibitory=low, **{**late, "reset_timing": "next"}),
        ),
    ]
    for module, neuron in pairs:
        expected, states = guest(module, current)
        spikes, own = stepped(neuron, current)
        assert spikes.equal(expected)
        v = [each if isinstance(each, Tensor) else each.v for each in own]
        assert all(ours.equal(theirs[-1]) for ours, theirs in zip(v, states, strict=True))


@pytest.mark.parametrize("seed", range(24))
def test_random_parameters_of_spikingjelly(spikingjelly: ModuleType, seed: int) -> None:
    (a, b, threshold), current, _ = drawn(seed)
    tau, v_reset, decay_input = 1 + 9 * float(a), [None, 0.0, float(b) - 1][seed % 3], seed % 2 == 0
    kind = {"reset": "subtract"} if v_reset is None else {"reset": "value", "reset_value": v_reset}
    charge = "relax_input" if decay_input else "relax"
    options = {"v_threshold": float(threshold), "v_reset": v_reset, "step_mode": "m", "store_v_seq": True}
    shared = {"threshold": float(threshold), **kind}
    pairs = [
        (spikingjelly.IFNode(**options), LIF(decay=1.0, **shared)),  # type: ignore[arg-type]
        (spikingjelly.LIFNode(tau, decay_input, **options), LIF(tau=tau, charge=charge, **shared)),  # type: ignore[arg-type]
        (spikingjelly.ParametricLIFNode(tau, decay_input, **options), ParametricLIF(tau, decay_input, **shared)),
    ]
    for node, neuron in pairs:
        expected = node(current)
        spikes, own = stepped(neuron, current)
        assert spikes.equal(expected)
        assert torch.stack(own).equal(node.v_seq)


@pytest.mark.parametrize("seed", range(24))
def test_random_parameters_of_norse(norse: ModuleType, seed: int) -> None:
    (a, b, threshold), current, _ = drawn(seed)
    leak, reset = (0.0, 0.25, -0.5)[seed % 3], (0.0, -0.25)[seed % 2]
    tau_syn, tau_mem = a * 1000, b * 1000
    held = tuple(torch.tensor(value) if isinstance(value, float) else value for value in (tau_syn, tau_mem, leak, threshold, reset))
    state = norse.lif.LIFFeedForwardState(v=torch.full_like(current[0], leak), i=torch.zeros_like(current[0]))
    rates = {"charge": "rate_input", "gain": float(0.001 * tau_mem), "rest": leak}
    fires = {"threshold": float(threshold), "reset": "value", "reset_value": reset, "compare": ">"}
    spikes, own = stepped(Synaptic(synapse=float(0.001 * tau_syn), form="rate", decay=0.0, **rates, **fires), current)
    for x, s, mine in zip(current, spikes, own, strict=True):
        expected, state = norse.lif.lif_feed_forward_step(x, state, norse.lif.LIFParameters(*held))
        assert s.equal(expected)
        assert mine.v.equal(state.v)
        assert mine.i.equal(state.i)
