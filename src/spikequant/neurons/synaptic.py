"""Neurons with more than a membrane: a synaptic current, spikes fed back, a learned time constant, the alpha function."""

import math
from typing import Any, get_args

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError, unknown
from spikequant.neurons.lif import LIF, HoldsGrid, asked, fraction
from spikequant.neurons.sequence import as_given, sequence
from spikequant.numerics import AlphaHeld, Dynamics, Form, Held, State, Synapse, alpha_scan, charging, synaptic_scan


class SecondOrder(LIF):
    """What neurons with synaptic currents share: a second grid, and a state of several tensors."""

    currents = 1

    def __init__(self, synapse_state: HoldsGrid | None = None, **lif: Any) -> None:
        super().__init__(**lif)
        self.synapse_state = synapse_state

    def held_current(self) -> State | None:
        """What the grid of the synaptic currents asks of a scan; None where they are float."""
        return asked(self.synapse_state, "before_fire")

    def counted(self, current: Tensor, steps: int | None, counts: Tensor | None) -> Tensor:
        """Spikes as of ``forward``; ``counts``, if given, is filled with how often each neuron fired."""
        spikes = self.scan(current, steps=steps)[0]
        if counts is not None:
            counts.copy_(spikes.detach().sum(0))
        return spikes

    def _grids(self, on_grid: bool) -> tuple[State | None, State | None]:
        """On what membrane and currents go from step to step: their grids, or none."""
        return (self.held(), self.held_current()) if on_grid else (None, None)

    def _refuse_noise(self) -> None:
        for holder in (self.state, self.synapse_state):
            if holder is not None and holder.rounding_rule == "stochastic":
                raise SpecError(f"stochastic rounding is for LIF and IF; the states of {type(self).__name__} are rounded to nearest")

    @torch.no_grad()
    def stored_currents(self, current: Tensor, steps: int | None = None) -> Tensor:
        """The synaptic currents of every step, unrounded, ``[time, batch, ...]``: what their grid should cover."""
        raise NotImplementedError


class Synaptic(SecondOrder):
    """A LIF behind a synapse that forgets slowly, or whose own spikes come back to it, or both.

    ``synapse``: the decay of the current (or its rate of loss, with ``form="rate"``, Norse), None for none; with ``form="whole"`` it leaks
    as the membrane of a ``multiply_shift`` does, and takes that one's gain. ``recurrent`` maps
    the spikes of one step, ``[batch, ...]``, to what they add in the next. Its state is a ``Held``: membrane, current, spikes.
    ``synapse_state`` is the grid of the stored current; ``sees`` says whether the membrane reads the current before it is
    rounded (``full``, snnTorch) or after (``stored``). The equations are in ``spikequant.numerics.Synapse``.

    Raises:
        SpecError: as LIF, a synapse outside [0, 1], or neither synapse nor recurrence.

    >>> Synaptic(synapse=0.5, decay=0.5, threshold=2.0)(torch.ones(3, 1, 1)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    synapse: Tensor

    def __init__(
        self,
        synapse: float | Tensor | None = None,
        form: Form = "decay",
        recurrent: nn.Module | None = None,
        sees: str = "full",
        **lif: Any,
    ) -> None:
        super().__init__(**lif)
        if synapse is None and recurrent is None:
            raise SpecError("a Synaptic needs a synapse, or a recurrence, or both; a neuron with neither is a LIF")
        for name, value, valid in (("form", form, get_args(Form)), ("sees", sees, ("full", "stored"))):
            if value not in valid:
                raise SpecError(unknown(name, value, valid))
        if form == "rate" and sees == "stored":
            raise SpecError("the form 'rate' does not read sees, got 'stored': its membrane sees the full current; leave it out")
        if form == "whole" and (self.dynamics.charge != "multiply_shift" or recurrent is not None):
            raise SpecError(
                f"the form 'whole' is for charge 'multiply_shift' without recurrence, got {self.dynamics.charge!r}; use 'decay'"
            )
        self.has_synapse, self.form, self.sees, self.recurrent = synapse is not None, form, sees, recurrent
        self.currents = int(self.has_synapse)
        self.register_buffer("synapse", fraction("synapse", 0.0 if synapse is None else synapse))

    def scan(self, current: Tensor, start: Held | None = None, steps: int | None = None) -> tuple[Tensor, Held]:  # type: ignore[override]
        """Spikes, and what the neuron holds after the last step; ``start`` is what it held before the first."""
        self._refuse_noise()
        wide = sequence(current, steps)
        found, last = self._run(wide, self.broadcast(wide), self.held(), self.held_current(), start)
        self.show_state(current, steps, start)
        return as_given(found, current), last

    def _run(
        self, wide: Tensor, dynamics: Dynamics, state: State | None, current_state: State | None, start: Held | None
    ) -> tuple[Tensor, Held]:
        synapse = Synapse(self.shaped("synapse", wide), self.form, self.sees) if self.has_synapse else None  # type: ignore[arg-type]
        if synapse is not None and self.form == "whole":
            synapse = synapse._replace(rounding=dynamics.leak_rounding, gain=dynamics.gain)
            dynamics = dynamics._replace(gain=1.0)
        begin = self._resting_held(wide) if start is None else start
        return synaptic_scan(wide, dynamics, synapse, self.recurrent, state, current_state, begin)

    @torch.no_grad()
    def charged(  # type: ignore[override]
        self, current: Tensor, steps: int | None = None, start: Held | None = None, on_grid: bool = False
    ) -> Tensor:
        """The membrane of every step before it is rounded and fires: what a grid should cover."""
        return self._watched(current, steps, start, on_grid)[0]

    @torch.no_grad()
    def stored_currents(self, current: Tensor, steps: int | None = None, start: Held | None = None) -> Tensor:
        """The synaptic current of every step, unrounded."""
        return self._watched(current, steps, start)[1]

    def _watched(self, current: Tensor, steps: int | None, start: Held | None, on_grid: bool = False) -> tuple[Tensor, Tensor]:
        wide = sequence(current, steps)
        dynamics, held, seen = self.broadcast(wide), start, list[Held]()
        state, current_state = self._grids(on_grid)
        for x in wide:
            seen.append(self._run(x.unsqueeze(0), charging(dynamics), None, current_state, held)[1])
            _, held = self._run(x.unsqueeze(0), dynamics, state, current_state, held)
        return torch.stack([each.v for each in seen]), torch.stack([each.i for each in seen])

    def _resting_held(self, wide: Tensor) -> Held:
        zeros = torch.zeros_like(wide[0])
        return Held(torch.full_like(zeros, self.rest), zeros, zeros)


class Alpha(SecondOrder):
    """A membrane that rises and falls as the difference of two exponentials: ``decay`` is the excitatory one, above ``inhibitory``.

    Its state is an ``AlphaHeld``; one grid holds both currents. The equations are in ``spikequant.numerics.alpha_scan``.

    Raises:
        SpecError: as LIF, for both decays, or decays in the wrong order.

    >>> Alpha(decay=0.75, inhibitory=0.5, threshold=0.5, reset="value")(torch.ones(3, 1, 1)).flatten().tolist()
    [0.0, 0.0, 1.0]
    """

    inhibitory: Tensor
    currents = 2

    def __init__(self, inhibitory: float | Tensor, **lif: Any) -> None:
        super().__init__(**lif)
        self.register_buffer("inhibitory", fraction("inhibitory", inhibitory))
        self._refuse_disorder()

    def quantize_constant(self, name: str, value: Tensor) -> None:
        """Put a quantized threshold or decay in place.

        Raises:
            SpecError: the decays fall together.
        """
        super().quantize_constant(name, value)
        self._refuse_disorder()

    def _refuse_disorder(self) -> None:
        if not (self.decay > self.inhibitory).all():
            raise SpecError(f"decay must be above inhibitory, got {float(self.decay.min())} and {float(self.inhibitory.max())}")

    def scan(self, current: Tensor, start: AlphaHeld | None = None, steps: int | None = None) -> tuple[Tensor, AlphaHeld]:  # type: ignore[override]
        """Spikes, and what the neuron holds after the last step; ``start`` is what it held before the first."""
        self._refuse_noise()
        wide = sequence(current, steps)
        found, last = self._run(wide, self.held(), self.held_current(), start)
        self.show_state(current, steps, start)
        return as_given(found, current), last

    def _run(self, wide: Tensor, state: State | None, current_state: State | None, start: AlphaHeld | None) -> tuple[Tensor, AlphaHeld]:
        dynamics = self.broadcast(wide)
        decays = self.shaped("decay", wide), self.shaped("inhibitory", wide)
        return alpha_scan(wide, dynamics, decays, state, current_state, start)

    @torch.no_grad()
    def charged(  # type: ignore[override]
        self, current: Tensor, steps: int | None = None, start: AlphaHeld | None = None, on_grid: bool = False
    ) -> Tensor:
        """The membrane of every step before it is rounded and fires: what a grid should cover."""
        return self._watched(current, steps, start, on_grid)[0]

    @torch.no_grad()
    def stored_currents(self, current: Tensor, steps: int | None = None, start: AlphaHeld | None = None) -> Tensor:
        """Both synaptic currents of every step, unrounded, one after the other along the batch."""
        return self._watched(current, steps, start)[1]

    def _watched(self, current: Tensor, steps: int | None, start: AlphaHeld | None, on_grid: bool = False) -> tuple[Tensor, Tensor]:
        wide = sequence(current, steps)
        held, seen = start, list[AlphaHeld]()
        state, current_state = self._grids(on_grid)
        for x in wide:
            seen.append(self._run(x.unsqueeze(0), None, current_state, held)[1])
            held = seen[-1] if state is None else self._run(x.unsqueeze(0), state, current_state, held)[1]
        return torch.stack([each.v for each in seen]), torch.stack([torch.cat(each[1:]) for each in seen])


class ParametricLIF(LIF):
    """A LIF whose time constant is learned: ``1 / tau = sigmoid(w)``, with ``w`` a parameter.

    ``tau`` is where it starts; ``decay_input`` says whether the input is divided by it as well (SpikingJelly).

    Raises:
        SpecError: as LIF, or a tau that is not above 1.

    >>> ParametricLIF(tau=2.0).w.sigmoid().item()
    0.5
    """

    def __init__(self, tau: float = 2.0, decay_input: bool = True, **lif: Any) -> None:
        if not tau > 1:
            raise SpecError(f"a learned tau must start above 1 time step, got {tau}")
        super().__init__(tau=tau, charge="rate_input" if decay_input else "rate", **lif)
        self.w = nn.Parameter(torch.tensor(-math.log(tau - 1.0)))

    @property
    def standing(self) -> Dynamics:
        """The dynamics as they stand, the learned rate as a number."""
        return self.dynamics._replace(gain=float(self.w.detach().double().sigmoid()))

    def broadcast(self, current: Tensor) -> Dynamics:
        """The dynamics, with the rate that the parameter gives."""
        return super().broadcast(current)._replace(gain=self.w.sigmoid().to(torch.promote_types(current.dtype, torch.float32)))

    def refuse_constant(self, name: str) -> None:
        """Refuse a decay: it is a parameter that training moves.

        Raises:
            SpecError: the constant is the decay.
        """
        if name == "decay":
            raise SpecError("the time constant of a ParametricLIF is learned; quantize a LIF with its tau instead")
