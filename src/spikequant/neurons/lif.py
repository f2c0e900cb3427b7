"""LIF and IF: modules that own threshold and decay, and pass their membrane as a value."""

from typing import Any, Literal, Protocol, TypedDict, Unpack

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.numerics import Charge, Compare, Dynamics, Grid, Reset, Snapped, State, Surrogate, lif_scan
from spikequant.numerics.scan import charge


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


class Choices(TypedDict, total=False):
    """In what libraries differ: the fields of ``spikequant.numerics.Dynamics``, and when the state is rounded."""

    charge: Charge
    tau: float
    gain: float
    multiplier: int
    shift: int
    leak_rounding: Literal["floor", "trunc", "half_up"]
    reset: Reset
    reset_value: float
    reset_timing: Literal["now", "next"]
    detach_reset: bool
    compare: Compare
    compare_at: Literal["stored", "full"]
    state_shift: int


class LIF(nn.Module):
    """Leaky integrate-and-fire: ``v = decay v + gain x; v = snap(v); s = [v >= threshold]; reset``.

    The equations of every choice are in ``spikequant.numerics.Dynamics``. Giving ``tau`` alone means ``charge="relax_input"``,
    SpikingJelly's form. ``threshold`` and ``decay`` are one number, or one for each channel. ``state`` is anything that answers
    ``grid()``; ``surrogate`` is a name, or a name with its slope; ``snapped`` says when the membrane is rounded:
    ``before_fire`` (Beyond Accuracy), ``after_reset`` (Q-SNN) or both.

    Shapes: current and spikes are ``[time, batch, channel, *space]``.

    Raises:
        SpecError: neither or both of ``decay`` and ``tau``; a threshold that is not positive.

    >>> LIF(decay=0.5)(torch.ones(3, 1, 1)).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    threshold: Tensor
    decay: Tensor

    def __init__(
        self,
        decay: float | Tensor | None = None,
        threshold: float | Tensor = 1.0,
        state: HoldsGrid | None = None,
        snapped: Snapped = "before_fire",
        surrogate: Surrogate | str = "arctan",
        **choices: Unpack[Choices],
    ) -> None:
        super().__init__()
        if (decay is None) == ("tau" not in choices):
            raise SpecError(f"a LIF needs either decay or tau, got decay={decay} and tau={choices.get('tau')}")
        if "tau" in choices and choices["tau"] < 1:
            raise SpecError(f"tau must be at least 1 time step, got {choices['tau']}; nearest valid value: 1.0")
        tau = choices.setdefault("tau", 1.0)
        choices.setdefault("charge", "relax_input" if decay is None else "scale")
        self.register_buffer("threshold", _constant(threshold))
        self.register_buffer("decay", _constant(1 - 1 / tau if decay is None else decay))
        if not (self.threshold > 0).all():
            raise SpecError(f"threshold must be above 0, got {float(self.threshold.min())}")
        curve = Surrogate(surrogate) if isinstance(surrogate, str) else surrogate
        self.dynamics = Dynamics(self.threshold, surrogate=curve, **choices)
        self.state, self.snapped = state, snapped

    def scan(self, current: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Spikes, and the membrane after the last step; ``start`` is the membrane before the first.

        Half-precision currents are widened: membranes accumulate, so they stay float32.
        """
        wide = current.float() if current.dtype in (torch.bfloat16, torch.float16) else current
        state = self.state
        held = None if state is None else State(state.grid(), state.rounding_rule, state.gradient, self.snapped)
        spikes, v = lif_scan(wide, self.broadcast(wide), held, start, getattr(state, "noise", None))
        return spikes.to(current.dtype), v

    def forward(self, current: Tensor) -> Tensor:
        """Spikes of a current, from a resting membrane."""
        return self.scan(current)[0]

    @torch.no_grad()
    def charged(self, current: Tensor) -> Tensor:
        """The membrane of every step before it is rounded, ``[time, batch, ...]``: what a grid should cover."""
        dynamics, v, seen = self.broadcast(current), torch.zeros_like(current[0]), []
        for x in current:
            seen.append(charge(v, x, dynamics))
            _, v = lif_scan(x.unsqueeze(0), dynamics, start=v)
        return torch.stack(seen)

    def broadcast(self, current: Tensor) -> Dynamics:
        """The dynamics with constants shaped for one step of ``current``."""
        shape = [1, -1] + [1] * (current.ndim - 3)
        threshold, decay = (c if c.ndim == 0 else c.reshape(shape) for c in (self.threshold, self.decay))
        return self.dynamics._replace(threshold=threshold.to(current.dtype), decay=decay.to(current.dtype))

    def quantize_constant(self, name: str, value: Tensor) -> None:
        """Put a quantized threshold or decay in place; a decay turns ``tau`` forms into ``decay v + x / tau``."""
        if name == "decay" and self.dynamics.charge in ("relax", "relax_input"):
            if self.dynamics.reset == "value" and self.dynamics.reset_value != 0:
                raise SpecError(f"a decay can be quantized only where membranes rest at 0, not at {self.dynamics.reset_value}")
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
        surrogate: Surrogate | str = "arctan",
        **choices: Unpack[Choices],
    ) -> None:
        super().__init__(1.0, threshold, state, snapped, surrogate, **choices)


def _constant(value: float | Tensor) -> Tensor:
    constant = torch.as_tensor(value, dtype=torch.float32).detach().clone()
    if not torch.isfinite(constant).all():
        raise SpecError(f"threshold and decay must be finite, got {value}")
    return constant
