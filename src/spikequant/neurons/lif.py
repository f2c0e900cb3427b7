"""LIF and IF: modules that own threshold and decay, and pass their membrane as a value."""

import math
from collections.abc import Callable
from typing import Any, Protocol, Unpack, cast

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError, unknown
from spikequant.neurons.choices import Choices, refuse_choices
from spikequant.neurons.sequence import as_given, sequence
from spikequant.numerics import (
    DERIVATIVES,
    Dynamics,
    Grid,
    Snapped,
    State,
    Surrogate,
    charged,
    graded_scan,
    lif_scan,
    settled,
    widened,
)
from spikequant.numerics.scan import check, rest_of


class HoldsGrid(Protocol):
    """What a neuron asks of its state's grid: any spec of a fixed range and any quantizer."""

    @property
    def rounding_rule(self) -> Any:
        """Rounding of ``spikequant.numerics``."""

    @property
    def gradient(self) -> Any:
        """Straight-through gradient: ``pass`` or ``mask``."""

    def grid(self) -> Grid:
        """The grid as it stands."""


Counter = Callable[[Tensor, int, int], object]


class LIF(nn.Module):
    """Leaky integrate-and-fire: ``v = decay v + gain x; v = snap(v); s = [v >= threshold]; reset``.

    The equations of every choice are in ``spikequant.numerics.Dynamics``. Giving ``tau`` alone means ``charge="relax_input"``,
    SpikingJelly's form. ``threshold`` and ``decay`` are one number, or one for each channel. ``state`` is anything that answers
    ``grid()``; ``surrogate`` is a name, or a name with its slope; ``snapped`` says when the membrane is rounded:
    ``before_fire`` (Beyond Accuracy), ``after_reset`` (Q-SNN) or both. A state that answers ``fires_at(threshold)`` decides the threshold.

    Shapes: current and spikes are ``[time, batch, channel, *space]``.

    Raises:
        SpecError: neither or both of ``decay`` and ``tau``; a decay outside [0, 1]; a threshold that is not above 0, or not above
            where a reset puts the membrane; a choice that is unknown, or that its charge does not read.

    >>> LIF(decay=0.5)(torch.ones(3, 1, 1)).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    threshold: Tensor
    decay: Tensor
    frozen: Tensor | None  # there while training freezes grades to spikes: which neurons of a sample spike already

    def __init__(
        self,
        decay: float | Tensor | None = None,
        threshold: float | Tensor = 1.0,
        state: HoldsGrid | None = None,
        snapped: Snapped = "before_fire",
        surrogate: Surrogate | tuple[str, float] | str = "arctan",
        **choices: Unpack[Choices],
    ) -> None:
        super().__init__()
        if (decay is None) == ("tau" not in choices):
            raise SpecError(f"a LIF needs either decay or tau, got decay={decay} and tau={choices.get('tau')}")
        if "tau" in choices and choices["tau"] < 1:
            raise SpecError(f"tau must be at least 1 time step, got {choices['tau']}; nearest valid value: 1.0")
        choices.setdefault("charge", "relax_input" if decay is None else "scale")
        refuse_choices({**choices, "snapped": snapped, **({} if decay is None else {"decay": decay})}, self._kinds())
        tau = choices.setdefault("tau", 1.0)
        self.register_buffer("threshold", constant(threshold))
        self.register_buffer("decay", fraction("decay", 1 - 1 / tau if decay is None else decay))
        rest = choices.get("reset_value", 0.0) if choices.get("reset") == "value" else 0.0
        if not (self.threshold > rest).all():
            where = ", to which a reset puts the membrane" if rest else ""
            raise SpecError(f"threshold must be above {rest:g}{where}, got {float(self.threshold.min())}")
        curve = Surrogate(*surrogate) if isinstance(surrogate, tuple) else Surrogate(surrogate)
        if str(curve.kind) not in DERIVATIVES:
            raise SpecError(unknown("surrogate", str(curve.kind), DERIVATIVES))
        if state is not None and not callable(getattr(state, "grid", None)):
            raise SpecError(f"state must be a spec or quantizer, such as Uniform(bits=4, low=-1.0, high=1.0), got {state!r}")
        self.dynamics = Dynamics(self.threshold, surrogate=curve, **choices)
        self.state, self.snapped = state, snapped
        self.counters: tuple[Counter, ...] = ()
        self.register_buffer("frozen", None)
        self.window, self.straight_through, self.blocked = 1.0, False, False

    def scan(self, current: Tensor, start: Tensor | None = None, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """Spikes, and the membrane after the last step; ``start`` is the membrane before the first, at rest if None.

        With ``steps``, the current is one time step that stands for that many.

        Half-precision currents give spikes of their own dtype; membranes accumulate, so they stay float32.
        """
        return self._scan(current, start, steps, None)

    def _scan(self, current: Tensor, start: Tensor | None, steps: int | None, counts: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.frozen is not None:
            wide = widened(current.detach() if self.blocked else current)
            if self.state is not None or start is not None or counts is not None:
                raise SpecError("grades freeze to spikes unwatched, on a float membrane from rest; quantize states, or watch, afterwards")
            begin, how = self._resting(wide), (self.window, self.straight_through)
            spikes, v = graded_scan(wide, self.broadcast(wide), self.frozen, *how, steps, begin)
            return as_given(spikes, current), v
        noise = getattr(self.state, "noise", None) if self.is_noisy else None
        begin = self._resting(current) if start is None else start
        spikes, v = lif_scan(current, self.broadcast(current), self.held(), begin, noise, steps, counts)
        self.show_state(current, steps, start)
        return spikes, v

    def show_state(self, current: Tensor, steps: int | None, start: Any) -> None:
        """Let the state's grid move after the membranes of a scan, where it ``follows``."""
        if self.follows:
            self.state.follow(self.charged(current, steps, start, on_grid=True).flatten(0, 1))  # type: ignore[union-attr]

    def hear(self, counts: Tensor, steps: int, positions: int) -> None:
        """Tell all who count how often the neurons of a channel, one at each position, fired in a scan: ``[batch, channel]``."""
        for counter in self.counters:
            counter(counts, steps, positions)

    def held(self) -> State | None:
        """What the grid of the state asks of a scan; None for a float state."""
        return asked(self.state, self.snapped)

    @classmethod
    def _kinds(cls) -> list[type]:
        """This class and those that it extends, up to LIF."""
        return [kind for kind in cls.__mro__ if issubclass(kind, LIF)]

    @property
    def follows(self) -> bool:
        """Whether the state's grid moves after its membranes: it is shown them after every scan in training mode."""
        return self.training and callable(getattr(self.state, "follow", None))

    @property
    def freezes(self) -> bool:
        """Whether its spikes can freeze: a scan of its own does not know of grades."""
        return type(self).scan is LIF.scan and type(self)._scan is LIF._scan

    @property
    def is_noisy(self) -> bool:
        """Whether the state is rounded stochastically, so that a scan needs noise."""
        return self.state is not None and self.state.rounding_rule == "stochastic"

    def forward(self, current: Tensor, steps: int | None = None) -> Tensor:
        """Spikes of a current, from a resting membrane; with ``steps``, one time step stands for that many."""
        if not self.counters or not len(current):
            return self.counted(current, steps, None)
        counts = torch.empty_like(current[0], dtype=torch.float32, requires_grad=False)
        spikes = self.counted(current, steps, counts)
        self.hear(counts.flatten(2).sum(2) if counts.ndim > 2 else counts, len(spikes), math.prod(counts.shape[2:]))
        return spikes

    def heard(self, spikes: Tensor) -> Tensor:
        """What a listener hears of an output: its spikes as 0 and 1."""
        return spikes

    def counted(self, current: Tensor, steps: int | None, counts: Tensor | None) -> Tensor:
        """Spikes as of ``forward``; ``counts``, if given, is filled with how often each neuron fired."""
        return self._scan(current, None, steps, counts)[0]

    @torch.no_grad()
    def charged(self, current: Tensor, steps: int | None = None, start: Tensor | None = None, on_grid: bool = False) -> Tensor:
        """The membrane of every step before it is rounded and fires, ``[time, batch, ...]``: what a grid should cover.

        ``on_grid``: on the way that the state's grid leads, else on that of a float state.
        """
        wide = sequence(current, steps)
        dynamics, v = self.broadcast(wide), self._resting(wide) if start is None else start
        held = settled(self.held(), wide, dynamics, v) if on_grid else None
        noise = getattr(self.state, "noise", None) if held is not None and self.is_noisy else None
        return torch.stack(list(charged(wide, dynamics, held, v, noise)))

    @property
    def standing(self) -> Dynamics:
        """The dynamics as they stand, what is learned as a number."""
        return self.dynamics

    def broadcast(self, current: Tensor) -> Dynamics:
        """The dynamics with constants shaped for one step of ``current``.

        Raises:
            MismatchError: constants for other channels than the current has.
        """
        return self.dynamics._replace(threshold=self.shaped("threshold", current), decay=self.shaped("decay", current))

    @property
    def fires_at(self) -> Tensor:
        """The threshold as it stands: the constant, or what the state's grid makes of it (a learned one, a whole number of steps)."""
        decided = getattr(self.state, "fires_at", None)
        return self.threshold if decided is None else cast(Tensor, decided(self.threshold))

    def shaped(self, name: str, current: Tensor) -> Tensor:
        """A constant, shaped for one step of ``current``.

        Raises:
            MismatchError: it is for other channels than the current has.
        """
        each: Tensor = self.fires_at if name == "threshold" else getattr(self, name)
        if each.ndim == 0 and each.dtype == current.dtype:
            return each  # as usual, and at once: small networks call often
        channels = current.shape[2] if current.ndim > 2 else 1
        if each.numel() not in (1, channels):
            raise MismatchError(f"{name} is for {each.numel()} channels, the current of shape {tuple(current.shape)} has {channels}")
        shape = [1, -1, *[1] * (current.ndim - 3)] if current.ndim > 2 else [-1]
        return (each if each.ndim == 0 else each.reshape(shape)).to(torch.promote_types(current.dtype, torch.float32))

    @property
    def rest(self) -> float:
        """The membrane before the first step: its rest, else where a reset to a value puts it (as in SpikingJelly), else 0."""
        return rest_of(self.dynamics)

    def _resting(self, current: Tensor) -> Tensor | None:
        if not self.rest:
            return None
        check(current, None)
        return torch.full_like(current[0], self.rest, dtype=torch.promote_types(current.dtype, torch.float32))

    def refuse_constant(self, name: str) -> None:
        """Refuse a constant that this neuron does not have as a number of its own.

        Raises:
            SpecError: says why.
        """
        if name == "decay" and self.dynamics.charge in ("rate", "rate_input"):
            raise SpecError(
                f"the charge {self.dynamics.charge!r} has no decay to quantize; adopt the network with decays, or leave it float"
            )
        if name == "decay" and self.dynamics.charge in ("relax", "relax_input") and self.rest:
            raise SpecError(f"a decay can be quantized only where membranes rest at 0, not at {self.rest}")

    def quantize_constant(self, name: str, value: Tensor) -> None:
        """Put a quantized threshold or decay in place; a decay turns ``tau`` forms into ``decay v + x / tau``."""
        self.refuse_constant(name)
        if name == "threshold" and hasattr(self.state, "fires_at"):
            raise SpecError("the grid of this state decides at what the neuron fires; leave the threshold out of the constants")
        if name == "decay" and self.dynamics.charge in ("relax", "relax_input"):
            gain = 1 / self.dynamics.tau if self.dynamics.charge == "relax_input" else 1.0
            self.dynamics = self.dynamics._replace(charge="scale", gain=gain)
        getattr(self, name).copy_(value)

    def extra_repr(self) -> str:
        """Shown when a model is printed."""
        d = self.dynamics
        return f"{d.charge}, reset={d.reset} {d.reset_timing}, compare {d.compare} {float(self.threshold.mean()):g}, state={self.state}"


class IF(LIF):
    """Integrate-and-fire: a LIF that forgets nothing.

    >>> IF()(torch.full((4, 1, 1), 0.5)).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        threshold: float | Tensor = 1.0,
        state: HoldsGrid | None = None,
        snapped: Snapped = "before_fire",
        surrogate: Surrogate | tuple[str, float] | str = "arctan",
        **choices: Unpack[Choices],
    ) -> None:
        super().__init__(1.0, threshold, state, snapped, surrogate, **choices)


def asked(holder: HoldsGrid | None, snapped: Snapped) -> State | None:
    """What a grid asks of a scan; None for float."""
    if holder is None:
        return None
    follows = getattr(holder, "ranging", None)
    return State(follows or holder.grid(), holder.rounding_rule, holder.gradient, snapped, squash=getattr(holder, "squash", False))


def constant(value: float | Tensor) -> Tensor:
    """A finite constant as a float32 tensor of its own."""
    constant = torch.as_tensor(value, dtype=torch.float32).detach().clone()
    if not torch.isfinite(constant).all():
        raise SpecError(f"threshold and decay must be finite, got {value}")
    return constant


def fraction(name: str, value: float | Tensor) -> Tensor:
    """A constant in [0, 1], such as what is left of a membrane after one step."""
    fraction = constant(value)
    valid = fraction.clamp(0, 1)
    if not valid.equal(fraction):
        worst = int((fraction - valid).abs().argmax())
        got, nearest = (float(each.flatten()[worst]) for each in (fraction, valid))
        raise SpecError(f"{name} must be in [0, 1], got {got:g}; nearest valid value: {nearest:g}")
    return fraction
