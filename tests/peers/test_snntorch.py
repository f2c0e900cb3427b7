"""snnTorch 1.0: Leaky, and the state quantizer of SQUAT."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.neurons import LIF
from spikequant.numerics import Surrogate, encode, levels, midpoints, snap
from spikequant.quantizers import QuantizerSpec, StateQuant, ThresholdCentered, Uniform, ZeroCentered

RESETS = {"subtract": "subtract", "zero": "value", "none": "none"}
LIMITS = [(1.0, 0.0, 0.2), (1.0, 0.0, 1.0), (0.5, 0.5, 0.2), (2.473, 0.0, 3.0), (1.0, 2.0, 0.05)]  # threshold, lower, upper


def theirs(leaky: Any, current: Tensor) -> tuple[Tensor, Tensor]:
    spikes, membranes, v = [], [], torch.zeros_like(current[0])
    for x in current:
        s, v = leaky(x, v)
        spikes.append(s)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


def ours(neuron: LIF, current: Tensor) -> tuple[Tensor, Tensor]:
    membranes, v = list[Tensor](), None
    for x in current:
        _, v = neuron.scan(x.unsqueeze(0), v)
        membranes.append(v)
    return neuron(current), torch.stack(membranes)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize(("beta", "threshold"), [(0.9, 1.0), (0.5, 0.7), (0.974, 2.473), (0.0, 1.0), (1.0, 1.0)])
def test_leaky(snntorch: ModuleType, current: Tensor, beta: float, threshold: float, reset: str) -> None:
    leaky = snntorch.Leaky(beta, threshold, reset_mechanism=reset, reset_delay=True)
    neuron = LIF(decay=beta, threshold=threshold, reset=RESETS[reset], reset_timing="next", compare=">")  # type: ignore[arg-type]
    expected, membranes = theirs(leaky, current)
    spikes, own = ours(neuron, current)
    assert spikes.equal(expected)
    assert own.equal(membranes)
    assert 0.1 < spikes.mean() < 0.95


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("alpha", [2.0, 5.0])
def test_leaky_gradients(snntorch: ModuleType, current: Tensor, reset: str, alpha: float) -> None:
    leaky = snntorch.Leaky(0.9, spike_grad=snntorch.surrogate.atan(alpha=alpha), reset_mechanism=reset)
    neuron = LIF(decay=0.9, reset=RESETS[reset], reset_timing="next", compare=">", surrogate=Surrogate("arctan", alpha))  # type: ignore[arg-type]
    upstream = torch.randn(current.shape, generator=torch.Generator().manual_seed(1))
    first, second = current.clone().requires_grad_(), current.clone().requires_grad_()
    theirs(leaky, first)[0].backward(upstream)
    neuron(second).backward(upstream)
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(second.grad, first.grad, rtol=1e-6, atol=1e-6)
    assert first.grad.abs().mean() > 0.01


@pytest.mark.parametrize("reset", RESETS)
def test_leaky_without_delay(snntorch: ModuleType, current: Tensor, reset: str) -> None:
    """The reset at once, on membranes that stay below two thresholds."""
    gentle = current.clamp(-1.0, 0.9) if reset == "subtract" else current
    leaky = snntorch.Leaky(0.8, reset_mechanism=reset, reset_delay=False)
    expected, membranes = theirs(leaky, gentle)
    spikes, own = ours(LIF(decay=0.8, reset=RESETS[reset], compare=">"), gentle)  # type: ignore[arg-type]
    assert spikes.equal(expected)
    assert own.equal(membranes)
    assert 0.05 < spikes.mean() < 0.95


def test_where_snntorch_differs_from_itself(snntorch: ModuleType) -> None:
    """Beyond two thresholds, snnTorch's reset without delay takes the next threshold off before the comparison.

    2.5 fires and leaves 1.5. Then 0.5 * 1.5 + 0.5 = 1.25 should fire again and leave 0.25. snnTorch finds 1.5 above the
    threshold, subtracts 1 first, compares 0.25, does not fire, and adds the 1 again.
    """
    strong = torch.tensor([2.5, 0.5]).reshape(2, 1, 1)
    expected, membranes = theirs(snntorch.Leaky(0.5, reset_delay=False), strong)
    spikes, own = ours(LIF(decay=0.5, compare=">"), strong)
    assert (expected.flatten().tolist(), membranes.flatten().tolist()) == ([1, 0], [1.5, 1.25])
    assert (spikes.flatten().tolist(), own.flatten().tolist()) == ([1, 1], [1.5, 0.25])


def their_levels(quantizer: Any) -> Tensor:
    """snnTorch keeps its levels in a closure only."""
    (held,) = [cell.cell_contents for cell in quantizer.__closure__]
    assert isinstance(held, Tensor)
    return held


def pair(snntorch: ModuleType, kind: str, bits: int, limits: tuple[float, float, float]) -> tuple[Any, QuantizerSpec]:
    threshold, lower, upper = limits
    uniform, centered = kind == "uniform", kind == "threshold_centered"
    quantizer = snntorch.functional.quant.state_quant(
        bits, uniform=uniform, thr_centered=centered, threshold=threshold, lower_limit=lower, upper_limit=upper
    )
    if uniform:
        return quantizer, Uniform(bits=bits, low=-threshold * (1 + lower), high=threshold * (1 + upper))
    exponential = ThresholdCentered if centered else ZeroCentered
    return quantizer, exponential(bits=bits, threshold=threshold, lower_limit=lower, upper_limit=upper)


KINDS = ["uniform", "threshold_centered", "zero_centered"]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_levels_of_the_state_quantizer(snntorch: ModuleType, kind: str, bits: int, limits: tuple[float, float, float]) -> None:
    quantizer, spec = pair(snntorch, kind, bits, limits)
    expected, found = their_levels(quantizer), levels(spec.grid())
    assert len(found) == 2**bits
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("limits", LIMITS[:3], ids=str)
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_the_state_quantizer(snntorch: ModuleType, kind: str, bits: int, limits: tuple[float, float, float]) -> None:
    """One level apart where a value lies midway between two levels, to within rounding; equal everywhere else."""
    quantizer, spec = pair(snntorch, kind, bits, limits)
    own = levels(spec.grid())
    between = (own[1:].double() + own[:-1].double()) / 2
    x = torch.cat([torch.randn(4000, generator=torch.Generator().manual_seed(2)) * limits[0], between.float()])
    codes = torch.bucketize(quantizer(x), between.float())
    apart = (encode(spec.grid(), x) - codes).abs()
    midway = (x.double().unsqueeze(1) - between).abs().min(1).values < 1e-6
    assert not apart[~midway].any()
    assert (apart[midway] <= 1).all()
    assert not apart[:4000].any()
    assert midway[4000:].all()
    assert torch.allclose(snap(spec.grid(), x[:4000]), quantizer(x[:4000]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_leaky_with_a_quantized_state(snntorch: ModuleType, current: Tensor, kind: str, bits: int, reset: str) -> None:
    quantizer, spec = pair(snntorch, kind, bits, (1.0, 0.0, 0.2))
    leaky = snntorch.Leaky(0.9, reset_mechanism=reset, state_quant=quantizer)
    neuron = LIF(decay=0.9, reset=RESETS[reset], reset_timing="next", compare=">", state=spec)  # type: ignore[arg-type]
    expected, membranes = theirs(leaky, current)
    spikes, own = ours(neuron, current)
    assert spikes.equal(expected)
    assert torch.allclose(own, membranes, rtol=0, atol=1e-6)
    assert 0.1 < spikes.mean() < 0.9
    assert not spikes.equal(theirs(snntorch.Leaky(0.9, reset_mechanism=reset), current)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_drop_in_counts_its_ties(snntorch: ModuleType, kind: str) -> None:
    """Beside snnTorch on every bit width: unequal only where a value lies midway between two levels, to within rounding."""
    x, ties = torch.randn(20_000, generator=torch.Generator().manual_seed(4)), {}
    for bits in range(1, 9):
        quantizer, spec = pair(snntorch, kind, bits, (1.0, 0.0, 0.2))
        drop_in = StateQuant(spec)
        middles = midpoints(drop_in.grid())
        differ = torch.bucketize(drop_in(x), middles) != torch.bucketize(quantizer(x), middles)
        assert ((x[differ].double().unsqueeze(1) - middles.double()).abs().amin(1) < 1e-6).all()
        ties[bits] = int(differ.sum())
    assert sum(ties.values()) <= 2, f"values that differ, by bits: {ties}"


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_drop_in_in_its_place(snntorch: ModuleType, current: Tensor, reset: str) -> None:
    """In snnTorch's own neurons our grid does what theirs does, spikes and gradients, in twice their precision as well."""
    quantizer, spec = pair(snntorch, "threshold_centered", 4, (1.0, 0.0, 0.2))
    first, second = current.clone().requires_grad_(), current.clone().requires_grad_()
    expected = theirs(snntorch.Leaky(0.9, reset_mechanism=reset, state_quant=quantizer), first)
    found = theirs(snntorch.Leaky(0.9, reset_mechanism=reset, state_quant=StateQuant(spec)), second)
    assert found[0].equal(expected[0])
    assert torch.allclose(found[1], expected[1], rtol=0, atol=1e-6)
    expected[0].sum().backward()
    found[0].sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(first.grad, second.grad, rtol=1e-5, atol=1e-6)
    double = snntorch.Leaky(torch.tensor(0.9, dtype=torch.float64), state_quant=StateQuant(spec))
    assert theirs(double, current.double())[1].dtype == torch.float64


def test_gradients_with_a_quantized_state(snntorch: ModuleType, current: Tensor) -> None:
    quantizer, spec = pair(snntorch, "threshold_centered", 4, (1.0, 0.0, 0.2))
    first, second = current.clone().requires_grad_(), current.clone().requires_grad_()
    theirs(snntorch.Leaky(0.9, state_quant=quantizer), first)[0].sum().backward()
    LIF(decay=0.9, reset_timing="next", compare=">", state=spec)(second).sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(second.grad, first.grad, rtol=1e-5, atol=1e-6)
