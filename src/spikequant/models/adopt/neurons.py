"""Foreign neurons as nodes of ours, each in its library's own conventions; or the reason why not."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from spikequant.models.adopt.described import Described, closed_over, constant, curve, refuse, stateless
from spikequant.models.wiring import Args
from spikequant.neurons import STAND_IN, library

QUANTIZED = "its state is quantized already; adopt the float network and quantize that"
RESETS = {"subtract": "subtract", "zero": "value", "none": "none"}
# Ours by the name of theirs; the argument that sets the slope.
SNNTORCH_CURVES = {"atan": ("arctan", "alpha"), "fast_sigmoid": ("fast_sigmoid", "slope"), "sigmoid": ("sigmoid", "slope")}
SPIKINGJELLY_CURVES = {"ATan": "arctan", "Sigmoid": "sigmoid"}


class Asked(NamedTuple):
    """What the door asks of a description: the surrogate that the user names, if any, and the axes of a sample, if known."""

    surrogate: str | None
    axes: int | None


def neuron(place: str, module: nn.Module, surrogate: str | None, axes: int | None = None) -> Described:
    """The node that does as this neuron does; ``axes``: how many its samples have, None if that is unknown.

    Raises:
        SpecError: there is none.
    """
    family = library(module)
    table = NEURONS.get(str(family), {})
    known = table.get(type(module).__name__) if type(module).__module__.startswith(f"{family}.") else None
    if known is None:
        raise refuse(place, type(module).__name__, f"of {family}, {', '.join(sorted(table))} can be")
    if hasattr(module, STAND_IN):
        raise refuse(place, type(module).__name__, QUANTIZED)
    return known(place, module, Asked(surrogate, axes))


def _snntorch(place: str, module: Any, asked: Asked) -> Args:
    """What all of snnTorch's neurons share."""
    if module.inhibition:
        raise refuse(place, "inhibition", "only the neuron with the highest membrane may fire, which no neuron here knows")
    if module.state_quant:
        raise refuse(place, "state_quant", QUANTIZED)
    if float(module.graded_spikes_factor) != 1:
        raise refuse(place, "graded_spikes_factor", f"its spikes are worth {float(module.graded_spikes_factor)}; only 1 is a spike here")
    theirs = getattr(module.spike_grad, "__qualname__", type(module.spike_grad).__name__).partition(".")[0]
    ours, argument = SNNTORCH_CURVES.get(theirs, ("", ""))
    found = (ours, float(closed_over(module.spike_grad)[argument])) if argument in closed_over(module.spike_grad) else None
    threshold = constant(place, "threshold", module.threshold, asked.axes)
    return {"threshold": threshold, "reset": RESETS[module.reset_mechanism], "compare": ">", **curve(place, found, asked.surrogate, theirs)}


def _clamped(place: str, name: str, value: Any, axes: int | None) -> Any:
    held = constant(place, name, value, axes)
    return [min(max(each, 0.0), 1.0) for each in held] if isinstance(held, list) else min(max(held, 0.0), 1.0)


def _timing(module: Any, late: str) -> Args:
    """When it resets; only a reset at once passes a gradient in snnTorch."""
    return {"reset_timing": late} if getattr(module, "reset_delay", True) else {"reset_timing": "now_once", "detach_reset": False}


def _leaky(place: str, module: Any, asked: Asked) -> Described:
    own = {"decay": _clamped(place, "beta", module.beta, asked.axes), **_timing(module, "next")}
    return Described("lif", {**_snntorch(place, module, asked), **own}, {})


def _synaptic(place: str, module: Any, asked: Asked) -> Described:
    own = {"decay": _clamped(place, "beta", module.beta, asked.axes), "synapse": _clamped(place, "alpha", module.alpha, asked.axes)}
    shared = _snntorch(place, module, asked)
    return Described("synaptic", {**shared, **own, **_timing(module, "next_charged")}, {})


def _recurrent(place: str, module: Any, asked: Asked) -> Described:
    if isinstance(module.recurrent, nn.Linear | nn.Conv2d):
        back = stateless(f"{place}.recurrent", module.recurrent, sequence=False)
    else:
        back = Described("one_to_one", {"shape": list(module.V.shape)}, {"weight": module.V.detach()})
    assert back is not None, "a layer with weights does something"
    own: Args = {
        "recurrent": {"kind": back.kind, **back.args},
        **_timing(module, "next_charged"),
        "decay": _clamped(place, "beta", module.beta, asked.axes),
    }
    if type(module).__name__ == "RSynaptic":
        own["synapse"] = _clamped(place, "alpha", module.alpha, asked.axes)
        if not module.reset_delay:
            raise refuse(place, "reset_delay=False", "snnTorch's RSynaptic fails in it; use reset_delay=True")
    tensors = {f"recurrent.{name}": tensor for name, tensor in back.tensors.items()}
    return Described("synaptic", {**_snntorch(place, module, asked), **own}, tensors)


def _lapicque(place: str, module: Any, asked: Asked) -> Described:
    for name in ("R", "time_step"):
        if math.frexp(float(getattr(module, name)))[0] != 0.5:
            raise refuse(place, name, f"{float(getattr(module, name)):g} is no power of two, so that snnTorch's products round unlike ours")
    r, c, dt = (getattr(module, name) for name in ("R", "C", "time_step"))
    own = {"decay": constant(place, "beta", 1 - dt / (r * c), asked.axes), "gain": constant(place, "C", r * (1 / (r * c)) * dt, asked.axes)}
    return Described("lif", {**_snntorch(place, module, asked), **own, "reset_timing": "next_charged"}, {})


def _alpha(place: str, module: Any, asked: Asked) -> Described:
    own = {"decay": _clamped(place, "alpha", module.alpha, asked.axes), "inhibitory": _clamped(place, "beta", module.beta, asked.axes)}
    return Described("alpha", {**_snntorch(place, module, asked), **own, "reset_timing": "next"}, {})


def _spikingjelly(place: str, module: Any, asked: Asked) -> Args:
    """What SpikingJelly's neurons share; a reset to None subtracts."""
    said = type(module.surrogate_function).__name__
    if not getattr(module.surrogate_function, "spiking", True):
        raise refuse(place, "spiking=False", f"{said} gives grades between 0 and 1 in place of spikes; set it to True")
    found = (SPIKINGJELLY_CURVES[said], float(module.surrogate_function.alpha)) if said in SPIKINGJELLY_CURVES else None
    threshold = constant(place, "v_threshold", module.v_threshold, asked.axes)
    shared: Args = {"threshold": threshold, "detach_reset": module.detach_reset, **curve(place, found, asked.surrogate, said)}
    if module.v_reset is None:
        return {**shared, "reset": "subtract"}
    return {**shared, "reset": "value", "reset_value": float(module.v_reset)}


def _if_node(place: str, module: Any, asked: Asked) -> Described:
    return Described("lif", {**_spikingjelly(place, module, asked), "decay": 1.0}, {})


def _lif_node(place: str, module: Any, asked: Asked) -> Described:
    own = {"tau": float(module.tau), "charge": "relax_input" if module.decay_input else "relax"}
    return Described("lif", {**_spikingjelly(place, module, asked), **own}, {})


def _parametric(place: str, module: Any, asked: Asked) -> Described:
    own = {"tau": 1 + math.exp(-float(module.w.detach())), "decay_input": module.decay_input}
    return Described("parametric_lif", {**_spikingjelly(place, module, asked), **own}, {"w": module.w.detach()})


def _norse(place: str, module: Any, asked: Asked) -> Args:
    """What Norse's neurons share: rates in place of time constants, a rest of their own, spikes above the threshold."""
    p, shared = module.p, dict[str, Any]()
    shared["threshold"] = constant(place, "v_th", p.v_th, asked.axes)
    how = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    if how not in ("reset_value", "reset_subtract"):
        raise refuse(place, "reset_method", f"{how} is not known; reset_value and reset_subtract are")
    shared["reset"] = how.removeprefix("reset_")
    if shared["reset"] == "value":
        shared["reset_value"] = _single(place, "v_reset", p.v_reset)
    found = ("fast_sigmoid", 1.0) if p.method == "super" else None
    return {**shared, "compare": ">", "detach_reset": False, **curve(place, found, asked.surrogate, repr(p.method))}


def _rates(place: str, module: Any) -> Args:
    return {
        "decay": 0.0,
        "charge": "rate_input",
        "gain": _single(place, "tau_mem_inv", module.dt * module.p.tau_mem_inv),
        "rest": _single(place, "v_leak", module.p.v_leak),
    }


def _single(place: str, name: str, value: Any) -> float:
    held = constant(place, name, value)
    if isinstance(held, list):
        raise refuse(place, name, "it differs from channel to channel; only thresholds and decays may")
    return float(held)


def _norse_box(place: str, module: Any, asked: Asked) -> Described:
    args = {**_norse(place, module, asked), **_rates(place, module)}
    if args["rest"] != 0:
        raise refuse(place, "v_leak", f"a leak to {args['rest']} rounds unlike ours in Norse's order of sums; only 0 is exact")
    return Described("lif", args, {})


def _norse_lif(place: str, module: Any, asked: Asked) -> Described:
    synapse = constant(place, "tau_syn_inv", module.dt * module.p.tau_syn_inv, asked.axes)
    args = {**_norse(place, module, asked), **_rates(place, module), "synapse": synapse, "form": "rate"}
    return Described("synaptic", args, {})


def _norse_iaf(place: str, module: Any, asked: Asked) -> Described:
    return Described("lif", {**_norse(place, module, asked), "decay": 1.0}, {})


Describe = Callable[[str, Any, Asked], Described]
NEURONS: dict[str, dict[str, Describe]] = {
    "snntorch": {
        "Leaky": _leaky,
        "Synaptic": _synaptic,
        "RLeaky": _recurrent,
        "RSynaptic": _recurrent,
        "Lapicque": _lapicque,
        "Alpha": _alpha,
    },
    "spikingjelly": {"IFNode": _if_node, "LIFNode": _lif_node, "ParametricLIFNode": _parametric},
    "norse": {"LIFBoxCell": _norse_box, "LIFCell": _norse_lif, "LIF": _norse_lif, "IAFCell": _norse_iaf, "IAF": _norse_iaf},
}
