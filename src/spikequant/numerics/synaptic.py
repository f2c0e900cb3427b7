"""Neurons of second order: a synaptic current before the membrane, spikes fed back, and the alpha function."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import scan
from spikequant.numerics.scan import Dynamics, LeakRounding, State, leaked
from spikequant.numerics.snap import snap
from spikequant.numerics.surrogate import spike

Form = Literal["decay", "rate", "whole"]
Feedback = Callable[[Tensor], Tensor]


class Synapse(NamedTuple):
    """How a synaptic current i forgets, with input x and ``constant`` c; the membrane is charged by i instead of x.

    - ``decay``: ``i = c i + x``, then the membrane sees i (snnTorch, SQUAT)
    - ``rate``: ``i = i + x``, the membrane sees it, then ``i = i - c i`` (Norse)
    - ``whole``: ``i = rounding(c i) + gain x``, then the membrane sees i; of whole numbers, as in an integer program

    With a grid the stored current is rounded; ``sees`` says whether the membrane reads the ``full`` current (snnTorch) or the
    ``stored`` one, which is what integer hardware has.
    """

    constant: Tensor | float
    form: Form = "decay"
    sees: Literal["full", "stored"] = "full"
    rounding: LeakRounding = "trunc"
    gain: Tensor | float = 1.0


class Held(NamedTuple):
    """What a neuron of second order carries from step to step, ``[batch, ...]`` each: membrane, current, spikes."""

    v: Tensor
    i: Tensor
    spikes: Tensor


class AlphaHeld(NamedTuple):
    """What an alpha neuron carries: membrane, excitatory and inhibitory current."""

    v: Tensor
    excitatory: Tensor
    inhibitory: Tensor


def synaptic_scan(
    current: Tensor,
    dynamics: Dynamics,
    synapse: Synapse | None = None,
    feedback: Feedback | None = None,
    state: State | None = None,
    current_state: State | None = None,
    start: Held | None = None,
) -> tuple[Tensor, Held]:
    """Spikes ``[time, batch, ...]`` of a membrane behind a synapse, or whose own spikes come back through ``feedback``, or both.

    Each step: synaptic current, charge, snap, compare, reset, as ``lif_scan``. What is fed back adds to the current where
    there is a synapse, else to the charged membrane.

    Raises:
        MismatchError: an empty time or batch axis, or a start of another shape.
        SpecError: the current or the start holds NaN, or an unknown choice.

    Source: SQUAT, section III-B (synaptic currents); snnTorch's Synaptic and RLeaky, Norse's LIF in their operational forms.

    >>> spikes, held = synaptic_scan(torch.ones(3, 1, 1), Dynamics(torch.tensor(2.0), decay=0.5), Synapse(0.5))
    >>> spikes.flatten().tolist(), held.i.item()
    ([0.0, 1.0, 0.0], 1.75)
    """
    scan.check_sound(current, None if start is None else start.v)
    scan.refuse_unknown(dynamics, state)
    zeros = torch.zeros_like(current[0])
    v, i, s = Held(zeros, zeros, zeros) if start is None else start
    spikes = []
    for x in current:
        back = None if feedback is None else feedback(s)
        if synapse is None:
            s, v = scan.step(x, v, dynamics, state, feedback=back)
        else:
            i = _arriving(i, x if back is None or synapse.form == "decay" else x + back, synapse)
            if back is not None and synapse.form == "decay":
                i = i + back
            stored = _kept(i, synapse, current_state)
            s, v = scan.step(stored if synapse.sees == "stored" and synapse.form != "rate" else i, v, dynamics, state)
            i = stored
        spikes.append(s)
    return torch.stack(spikes), Held(v, i, s)


def alpha_scan(
    current: Tensor,
    dynamics: Dynamics,
    decays: tuple[Tensor, Tensor],
    state: State | None = None,
    current_state: State | None = None,
    start: AlphaHeld | None = None,
) -> tuple[Tensor, AlphaHeld]:
    """Spikes of a membrane that follows the difference of two exponentials, an alpha function.

    Equations, with decays a > b: ``e = a e + x``, ``h = b h - x``, ``v = (1 + log a / (log b - log a)) (e + h)``. A spike acts in
    the following step: ``value`` empties e, h and v; ``subtract`` takes the threshold from e, empties h and adds the old h to v.

    Raises:
        MismatchError: an empty time or batch axis, or a start of another shape.
        SpecError: the current or the start holds NaN, an unknown choice, or a is not above b.

    Source: snnTorch's Alpha in its operational form.

    >>> decays = torch.tensor(0.75), torch.tensor(0.5)
    >>> alpha_scan(torch.ones(3, 1, 1), Dynamics(torch.tensor(0.5), reset="value"), decays)[0].flatten().tolist()
    [0.0, 0.0, 1.0]
    """
    scan.check_sound(current, None if start is None else start.v)
    scan.refuse_unknown(dynamics, state)
    a, b = decays
    if not bool((a > b).all()) or not bool((b > 0).all()):
        raise SpecError("an alpha neuron needs its excitatory decay above the inhibitory one, and both above 0; exchange them")
    peak = torch.log(a) / (torch.log(b) - torch.log(a)) + 1
    zeros = torch.zeros_like(current[0])
    v, e, h = AlphaHeld(zeros, zeros, zeros) if start is None else start
    spikes = []
    for x in current:
        late = spike(v - dynamics.threshold, dynamics.compare, dynamics.surrogate).detach()
        risen, fallen = a * e + x, b * h - x
        v = peak * (risen + fallen)
        if dynamics.reset == "value":
            risen, fallen, v = risen - risen * late, fallen - fallen * late, v - v * late
        elif dynamics.reset == "subtract":
            risen, fallen, v = risen - dynamics.threshold * late, fallen - fallen * late, v + h * late
        e, h, v = _on_grid(risen, current_state), _on_grid(fallen, current_state), _on_grid(v, state)
        spikes.append(spike(v - dynamics.threshold, dynamics.compare, dynamics.surrogate))
    return torch.stack(spikes), AlphaHeld(v, e, h)


def _arriving(i: Tensor, x: Tensor, synapse: Synapse) -> Tensor:
    if synapse.form == "whole":
        return leaked(i, synapse.constant, synapse.rounding) + synapse.gain * x
    return synapse.constant * i + x if synapse.form == "decay" else i + x


def _kept(i: Tensor, synapse: Synapse, state: State | None) -> Tensor:
    return _on_grid(i - synapse.constant * i if synapse.form == "rate" else i, state)


def _on_grid(x: Tensor, state: State | None) -> Tensor:
    return x if state is None else snap(state.at(state.bent(x)), state.bent(x), state.rounding, state.gradient)
