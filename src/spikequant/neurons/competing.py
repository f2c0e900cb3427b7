"""Neurons that inhibit each other and whose thresholds adapt: the excitatory layer of Q-SpiNN's unsupervised network."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError, unknown
from spikequant.neurons.lif import LIF, HoldsGrid
from spikequant.neurons.rounder import Round, rounder
from spikequant.neurons.sequence import as_given, sequence
from spikequant.numerics import Competition, Conductance, compete

Reading = Literal["current", "conductance"]


class Competing(LIF):
    """A layer of neurons that compete; the equations are in ``spikequant.numerics.Competition``.

    ``threshold`` is the base, to which each neuron adds its own ``adapted`` theta. ``reading``: ``current`` (BindsNET: input and
    inhibition move the membrane by their sum; its default here) or ``conductance`` (Diehl & Cook). Outside of training theta stands
    still. Variables: ``v`` and ``threshold`` (base plus theta); constants: ``reset`` and ``theta``, what a spike adds. Units: mV, ms.

    Shapes: current and spikes are ``[time, batch, neuron]``.

    >>> layer = Competing(neurons=2)
    >>> layer(torch.tensor([[[20.0, 0.0]]] * 3)).tolist()
    [[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]
    """

    adapted: Tensor
    reset: Tensor
    theta: Tensor

    def __init__(
        self, neurons: int, inhibition: float = 120.0, reading: Reading = "current", single: bool = True, **choices: float
    ) -> None:
        if reading not in ("current", "conductance"):
            raise SpecError(unknown("reading", reading, ("current", "conductance")))
        given = _converted(choices)
        tau_ms = choices.get("tau_ms", 100.0)
        opened = Conductance(leak=1 / tau_ms) if reading == "conductance" else None
        self.competition = Competition(**given)._replace(inhibition=inhibition, single=single, conductance=opened)
        c = self.competition
        super().__init__(c.decay, c.threshold, reset="value", reset_value=c.rest)
        self.neurons = neurons
        self.register_buffer("adapted", torch.zeros(neurons))
        self.register_buffer("reset", torch.tensor(c.reset))
        self.register_buffer("theta", torch.tensor(c.theta_plus))
        self.threshold_state: HoldsGrid | None = None

    @property
    def settings(self) -> Competition:
        """The dynamics, their quantized constants among them."""
        return self.competition._replace(reset=float(self.reset), theta_plus=float(self.theta), threshold=float(self.threshold))

    def bound(self) -> Tensor:
        """The threshold of every neuron, on its grid: base plus theta."""
        value = self.threshold + self.adapted
        return value if self.threshold_state is None else rounder(self.threshold_state)(0, value.unsqueeze(0)).squeeze(0)

    def _scan(self, current: Tensor, start: Tensor | None, steps: int | None, counts: Tensor | None) -> tuple[Tensor, Tensor]:
        if start is not None:
            raise MismatchError("neurons that compete always begin from rest: pass no start")
        spikes, v = compete(self._sequence(current, steps), self.settings, self.bound(), self._rounds())
        if counts is not None:
            counts.copy_(spikes.sum(0))
        self.show_state(current, steps, start)
        return as_given(spikes, current), v

    @torch.no_grad()
    def charged(self, current: Tensor, steps: int | None = None, start: Tensor | None = None, on_grid: bool = False) -> Tensor:
        """The membrane of every step before it is rounded and fires, ``[time, batch, neuron]``."""
        seen: list[Tensor] = []
        compete(self._sequence(current, steps), self.settings, self.bound(), self._rounds() if on_grid else None, seen=seen)
        return torch.stack(seen)

    def _sequence(self, current: Tensor, steps: int | None) -> Tensor:
        if current.ndim != 3 or current.shape[2] != self.neurons:
            raise MismatchError(f"current must be [time, batch, {self.neurons}], got {list(current.shape)}")
        return sequence(current, steps)

    def _rounds(self) -> Round | None:
        return None if self.state is None else rounder(self.state)


def _converted(choices: dict[str, float]) -> dict[str, Any]:
    """Fields of ``Competition`` from constants in mV and ms."""
    taus = {"tau_ms": "decay", "tau_theta_ms": "theta_decay"}
    plain = {"rest", "reset", "threshold", "refractory", "theta_plus"}
    for name in choices:
        if name not in taus and name not in plain:
            raise SpecError(unknown("argument", name, plain | set(taus)))
        if name in taus and not choices[name] > 0:
            raise SpecError(f"{name} must be above 0 ms, got {choices[name]}")
    given: dict[str, Any] = {name: value for name, value in choices.items() if name in plain}
    return given | {taus[name]: math.exp(-1 / value) for name, value in choices.items() if name in taus}
