"""A grid inside a guest: our neuron takes over a guest's step, and the guest keeps its face."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spikequant.models.adopt.described import refuse
from spikequant.models.adopt.neurons import neuron
from spikequant.models.layers import layer
from spikequant.models.wiring import INPUT, Node
from spikequant.neurons import LIF, STAND_IN, Synaptic, library, runs_steps
from spikequant.numerics import Held

Observer = Callable[[LIF, Tensor, Any], None]


def host(place: str, guest: Any) -> LIF:
    """Let our neuron do a guest's steps, SpikingJelly's or Norse's: same spikes, same states, and a place for a grid.

    Calls, ``step_mode``, resets and states handed on stay those of the guest.

    Raises:
        SpecError: there is no exact equal of the guest here.
    """
    found = neuron(place, guest, None)
    own = layer(Node(name="neuron", kind=found.kind, inputs=(INPUT,), args=found.args))
    assert isinstance(own, LIF), "a neuron is described as a neuron"
    if found.kind == "parametric_lif":
        raise refuse(place, "ParametricLIFNode", "its learned time constant would be learned twice; adopt the network instead")
    if getattr(guest, "store_v_seq", False):
        raise refuse(place, "store_v_seq", "our neuron hands out the last membrane alone; set store_v_seq to False")
    guest.add_module(STAND_IN, own)
    if library(guest) == "spikingjelly":
        guest.forward = _Steps(guest)
    else:
        guest.activation = _Activation(own)
    return own


def observers(guest: Any) -> list[Observer]:
    """Who is shown a hosted guest's currents ``[time, batch, ...]`` and the state from which they start."""
    found: list[Observer] = (guest.forward if library(guest) == "spikingjelly" else guest.activation).observers
    return found


class _Steps:
    """The forward of a SpikingJelly node: its membrane lies in ``v``, which its own reset puts back."""

    def __init__(self, guest: Any) -> None:
        self.guest = guest
        self.observers: list[Observer] = []

    def __call__(self, x: Tensor) -> Tensor:
        guest, single = self.guest, runs_steps(self.guest)
        sequence = x.unsqueeze(0) if single else x
        start = guest.v if isinstance(guest.v, Tensor) else torch.full_like(sequence[0], float(guest.v))
        own: LIF = getattr(guest, STAND_IN)
        for observe in self.observers:
            observe(own, sequence, start)
        spikes, guest.v = own.scan(sequence, start)
        return spikes[0] if single else spikes


class _Activation:
    """The step function of a Norse cell: the state comes in and goes out as Norse's tuple."""

    def __init__(self, own: LIF) -> None:
        self.own = own
        self.observers: list[Observer] = []

    def __call__(self, x: Tensor, state: Any, p: Any, dt: float) -> tuple[Tensor, Any]:
        v, sequence = state.v.expand_as(x).contiguous(), x.unsqueeze(0)
        start: Any = Held(v, state.i, torch.zeros_like(x)) if isinstance(self.own, Synaptic) else v
        for observe in self.observers:
            observe(self.own, sequence, start)
        spikes, last = self.own.scan(sequence, start)
        return spikes[0], state._replace(v=last.v, i=last.i) if isinstance(last, Held) else state._replace(v=last)
