"""A NIR graph as calls: its nodes are equations in continuous time, read as Euler steps of ``dt``."""

import math
from typing import Any

import torch

from spikequant.errors import SpecError
from spikequant.models.adopt.described import Described, constant, refuse
from spikequant.models.adopt.traced import GIVEN, Call, leading_to
from spikequant.models.wiring import Args

Found = list[tuple[Call, Described | None]]


def from_nir(graph: Any, dt: float) -> tuple[Found, tuple[int, ...]]:
    """The calls of a NIR graph in topological order with their nodes, and the shape of one sample; the last call's value is the output.

    What does not lead to the output is left out. Spikes where ``v > v_threshold``, then ``v = v_reset``: NIR knows no other reset.

    Raises:
        SpecError: a node has no exact equal here, or the graph has a cycle, or not one input and one output.
    """
    if not dt > 0:
        raise SpecError(f"dt must be above 0 seconds, got {dt}")
    sources, first, last = _sources(graph), _only(graph, "Input"), _only(graph, "Output")
    described: Found = []
    names = {first: GIVEN}
    asked = leading_to(last, sources)
    for name in _order({name: before for name, before in sources.items() if name in asked}):
        node, kind = graph.nodes[name], type(graph.nodes[name]).__name__
        if name == first:
            continue
        merged = _merged(name, tuple(names[source] for source in sources[name]), described)
        if name == last:
            continue
        if kind not in NODES:
            raise refuse(name, kind, f"of NIR's nodes, {', '.join(sorted(NODES))} can be")
        if getattr(node, "metadata", {}).get("reset") not in (None, "zero", "value"):
            raise refuse(name, kind, f"its metadata asks for reset {node.metadata['reset']!r}, which NIR's equations do not have")
        described.append((Call(name, kind, (merged,)), NODES[kind](name, node, dt)))
        names[name] = name
    return described, tuple(int(size) for size in graph.nodes[first].input_type["input"])


def _only(graph: Any, kind: str) -> str:
    found: list[str] = [name for name, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise refuse("the graph", "NIRGraph", f"it has {len(found)} nodes of the kind {kind}, must have 1")
    return found[0]


def _merged(name: str, inputs: tuple[str, ...], described: Found) -> str:
    """Several edges into a node are their sum."""
    if not inputs:
        raise refuse(name, "node", "nothing leads to it")
    held = inputs[0]
    for index, other in enumerate(inputs[1:]):
        described.append((Call(f"{name}_sum{index}", "add", (held, other)), Described("add", {}, {})))
        held = f"{name}_sum{index}"
    return held


def _sources(graph: Any) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for before, after in graph.edges:
        sources[after].append(before)
    return sources


def _order(sources: dict[str, list[str]]) -> list[str]:
    order = list[str]()
    while len(order) < len(sources):
        ready = [name for name, before in sources.items() if name not in order and all(each in order for each in before)]
        if not ready:
            raise refuse(
                next(name for name in sources if name not in order), "node", "the graph has a cycle; only feed-forward graphs can be"
            )
        order.append(ready[0])
    return order


def _tensors(**arrays: Any) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(array, dtype=torch.float32) for name, array in arrays.items() if array is not None}


def _linear(name: str, node: Any, dt: float) -> Described:
    if node.weight.ndim != 2:
        raise refuse(name, type(node).__name__, f"its weight has {node.weight.ndim} axes, must have 2")
    outputs, inputs = node.weight.shape
    bias = getattr(node, "bias", None)
    args: Args = {"in_features": int(inputs), "out_features": int(outputs), "bias": bias is not None}
    return Described("linear", args, _tensors(weight=node.weight, bias=bias))


def _pair(value: Any) -> Any:
    if isinstance(value, str):
        return value
    flat = [int(each) for each in torch.as_tensor(value).flatten()]
    return flat * 2 if len(flat) == 1 else flat


def _conv2d(name: str, node: Any, dt: float) -> Described:
    outputs, inputs, *kernel = (int(size) for size in node.weight.shape)
    args: Args = {
        "in_channels": inputs * int(node.groups),
        "out_channels": outputs,
        "kernel_size": list(kernel),
        "groups": int(node.groups),
    }
    args |= {each: _pair(getattr(node, each)) for each in ("stride", "padding", "dilation")}
    return Described("conv2d", args, _tensors(weight=node.weight, bias=node.bias))


def _pool(name: str, node: Any, dt: float) -> Described:
    args: Args = {each: _pair(getattr(node, each)) for each in ("kernel_size", "stride", "padding")}
    if type(node).__name__ == "SumPool2d":
        if args["padding"] != [0, 0]:
            raise refuse(name, "SumPool2d", "only windows without padding can be")
        return Described("sum_pool", {"size": args["kernel_size"], "stride": args["stride"]}, {})
    return Described("mean_pool", args, {})


def _flatten(name: str, node: Any, dt: float) -> Described:
    last = len(node.input_type["input"]) - 1
    if int(node.start_dim) not in (0, 1) or int(node.end_dim) not in (-1, last):
        raise refuse(name, "Flatten", f"it joins axes {node.start_dim} to {node.end_dim} of a sample; all must be joined")
    return Described("flatten", {}, {})


def _neuron(name: str, node: Any) -> Args:
    reset = constant(name, "v_reset", 0.0 if node.v_reset is None else node.v_reset)
    return {
        "threshold": constant(name, "v_threshold", node.v_threshold),
        "compare": ">",
        "reset": "value",
        "reset_value": _one(name, "v_reset", reset),
    }


def _one(name: str, what: str, value: Any) -> float:
    held = constant(name, what, value)
    if isinstance(held, list):
        raise refuse(name, what, "it differs from channel to channel; only thresholds and time constants may")
    return float(held)


def _each(name: str, what: str, value: Any) -> torch.Tensor:
    """A constant as a number, or one for each channel."""
    return torch.as_tensor(constant(name, what, value), dtype=torch.float64)


def _lif(name: str, node: Any, dt: float) -> Described:
    """``tau dv/dt = (v_leak - v) + r x``: r = 1 charges by ``dt / tau`` of the current, r = tau / dt by all of it."""
    tau, r, leak = _steps(name, node, "tau", dt), _each(name, "r", node.r), _one(name, "v_leak", node.v_leak)
    if not (tau.ndim or r.ndim):
        args: Args = {**_neuron(name, node), "decay": 0.0, "gain": 1 / float(tau), "rest": leak}
        if math.isclose(r, 1.0, rel_tol=1e-6):
            return Described("lif", {**args, "charge": "rate_input"}, {})
        if math.isclose(r, tau, rel_tol=1e-5):
            return Described("lif", {**args, "charge": "rate"}, {})
    if leak:
        raise refuse(
            name, "LIF", f"its v_leak is {leak:g}, must be 0 where tau differs from channel to channel, or r is neither 1 nor tau / dt"
        )
    return Described("lif", {**_neuron(name, node), "decay": _kept(tau), "gain": _gain(name, r / tau)}, {})


def _steps(name: str, node: Any, what: str, dt: float) -> torch.Tensor:
    """A time constant in steps."""
    tau = _each(name, what, getattr(node, what)) / dt
    if (tau < 1 - 1e-6).any():
        raise refuse(name, type(node).__name__, f"its {what} is {float(tau.min()):g} steps of dt={dt:g}; an Euler step needs at least 1")
    return tau.clamp(min=1)


def _kept(tau: torch.Tensor) -> Any:
    """What is kept in a step."""
    return (1 - 1 / tau).tolist()


def _gain(name: str, gain: torch.Tensor) -> float:
    """What a neuron makes of its current, where that is the same in all channels."""
    first = float(gain.reshape(-1)[0])
    if not torch.allclose(gain, torch.full_like(gain, first), rtol=1e-5):
        raise refuse(name, "r", "what it makes of the current differs from channel to channel; that belongs into the weights before it")
    return 1.0 if math.isclose(first, 1.0, rel_tol=1e-5) else first


def _cuba_lif(name: str, node: Any, dt: float) -> Described:
    """``tau_syn di/dt = w_in x - i``, then ``tau_mem dv/dt = r i - v`` with the new i; all factors stand before the membrane."""
    synapse, membrane = _steps(name, node, "tau_syn", dt), _steps(name, node, "tau_mem", dt)
    leak, r, weight = _one(name, "v_leak", node.v_leak), _each(name, "r", node.r), _each(name, "w_in", node.w_in)
    if leak:
        raise refuse(name, "CubaLIF", f"its v_leak is {leak:g}, must be 0: the rest belongs into the threshold and the reset")
    args = {"decay": _kept(membrane), "synapse": _kept(synapse), "gain": _gain(name, r * weight / (membrane * synapse))}
    return Described("synaptic", {**_neuron(name, node), **args}, {})


def _if(name: str, node: Any, dt: float) -> Described:
    gain = _gain(name, _each(name, "r", node.r) * dt)
    return Described("lif", {**_neuron(name, node), "decay": 1.0, **({} if gain == 1 else {"gain": gain})}, {})


NODES = {
    "Affine": _linear,
    "Linear": _linear,
    "Conv2d": _conv2d,
    "AvgPool2d": _pool,
    "SumPool2d": _pool,
    "Flatten": _flatten,
    "CubaLIF": _cuba_lif,
    "LIF": _lif,
    "IF": _if,
}
