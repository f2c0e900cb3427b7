"""The one time loop: leaky integrate-and-fire over ``[time, batch, ...]``, with every choice in which libraries differ."""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError, unknown
from spikequant.numerics.grid import Grid, along, bounds
from spikequant.numerics.ranging import Ranging
from spikequant.numerics.rounding import Rounding, round_to_integer
from spikequant.numerics.snap import Gradient, snap, through
from spikequant.numerics.soundness import has_nan
from spikequant.numerics.surrogate import DERIVATIVES, Compare, Surrogate, spike

Charge = Literal["scale", "relax", "relax_input", "rate", "rate_input", "shift", "shift_min1", "multiply_shift"]
ResetTiming = Literal["now", "next", "next_charged", "now_once"]
Reset = Literal["subtract", "value", "none"]
Snapped = Literal["before_fire", "after_reset", "both"]
LeakRounding = Literal["floor", "trunc", "half_up"]
HALF = (torch.bfloat16, torch.float16)


class Dynamics(NamedTuple):
    """How a membrane charges, fires and resets; tensors broadcast over one time step ``[batch, channel, *space]``.

    ``charge``, with membrane v, current x, rest r = ``rest`` if given, else ``reset_value`` where the reset is to a value, else 0:

    - ``scale``: ``decay v + gain x`` (snnTorch, Norse, SQUAT)
    - ``relax_input``: ``v + (x - (v - r)) / tau`` (SpikingJelly, ``decay_input=True``)
    - ``relax``: ``v - (v - r) / tau + x`` (SpikingJelly, ``decay_input=False``)
    - ``rate``: ``v - (v - r) gain + x``; ``rate_input``: ``v + (x - (v - r)) gain``: a time constant that is learned
      (SpikingJelly's ParametricLIF), or given as its inverse (Norse)
    - ``shift``: ``v - floor(v / 2^shift) + gain x``; ``shift_min1``: the same, but at least 1 towards zero (Xylo)
    - ``multiply_shift``: ``leak_rounding(v multiplier / 2^shift) + gain x``; the last three take whole numbers

    ``state_shift`` q keeps the top of the sum: ``u = (leak(v 2^q) + x) / 2^q`` is stored as ``snap(u)``; the threshold is in
    units of what is stored. ``compare_at``: the threshold sees the ``stored`` (snapped) value or the ``full`` one, u.
    The gradient of a rounded leak is that of the leak without rounding.
    ``reset_timing``: ``now``, or ``next`` (snnTorch's ``reset_delay=True``: the spike acts in the following step,
    after the leak for ``subtract``, before it for ``value``), ``next_charged`` (the same, but after the charge for ``value`` too:
    snnTorch's Synaptic, RLeaky and Lapicque) or ``now_once`` (snnTorch's ``reset_delay=False``: a membrane still above the
    threshold pays for that before the comparison, and gets it back if it does not fire again; what it pays in advance is detached).
    """

    threshold: Tensor
    charge: Charge = "scale"
    decay: Tensor | float = 1.0
    tau: float = 1.0
    gain: Tensor | float = 1.0
    multiplier: int = 1
    shift: int = 0
    leak_rounding: LeakRounding = "trunc"
    reset: Reset = "subtract"
    reset_value: float = 0.0
    reset_timing: ResetTiming = "now"
    detach_reset: bool = True
    compare: Compare = ">="
    compare_at: Literal["stored", "full"] = "stored"
    surrogate: Surrogate = Surrogate()
    state_shift: int = 0
    rest: float | None = None


class State(NamedTuple):
    """What a membrane's grid asks of the scan: which numbers it may hold, and when it is rounded to them.

    ``squash``: ``tanh`` before it is rounded (Q-SNN).

    A ``Ranging`` of one step finds its range in every step; one of whole sequences must be settled before (``charging.settled``).
    """

    grid: Grid | Ranging
    rounding: Rounding = "nearest_even"
    gradient: Gradient = "pass"
    snapped: Snapped = "before_fire"
    wrap: bool = False
    squash: bool = False

    @property
    def fixed(self) -> Grid:
        """The grid, where it is one.

        Raises:
            SpecError: it is only a way to find one.
        """
        if isinstance(self.grid, Ranging):
            raise SpecError(
                f"the range of this state follows each {self.grid.scope}, which this neuron cannot do; use range='frozen' or 'step_batch'"
            )
        return self.grid

    def bent(self, v: Tensor) -> Tensor:
        """What is rounded of a value."""
        return torch.tanh(v) if self.squash else v

    def at(self, v: Tensor) -> Grid:
        """The grid for the values of one step."""
        return self.grid.of(v) if isinstance(self.grid, Ranging) and self.grid.scope == "step_batch" else self.fixed


Noise = Callable[[int, Tensor], Tensor]


def _names(group: type) -> dict[str, tuple[str, ...]]:
    return {name: get_args(kind) for name, kind in get_type_hints(group).items() if get_origin(kind) is Literal}


OF_NEURON, OF_STATE = _names(Dynamics) | {"surrogate": tuple(DERIVATIVES)}, _names(State)
CHOSEN, CHOSEN_OF_STATE = attrgetter(*_names(Dynamics), "surrogate.kind"), attrgetter(*OF_STATE)


def lif_scan(
    current: Tensor,
    dynamics: Dynamics,
    state: State | None = None,
    start: Tensor | None = None,
    noise: Noise | None = None,
    steps: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes ``[time, batch, ...]`` and the last membrane ``[batch, ...]`` of a current ``[time, batch, ...]``.

    Each step: charge, snap (if the state has a grid), compare with the threshold, reset. ``start`` is the membrane
    before the first step (zero if None); ``noise(step, like)`` supplies what stochastic rounding needs. With ``steps``, the
    current's one time step stands for that many.

    Raises:
        MismatchError: an empty time or batch axis, or a start of another shape.
        SpecError: the current or the start holds NaN, or an unknown choice.

    Source: Beyond Accuracy, section 3.3 (order of steps); SQUAT, Eq. 2 and 3.

    >>> spikes, v = lif_scan(torch.full((4, 1, 1), 1.5), Dynamics(torch.tensor(1.0), "relax_input", tau=2.0, reset="value"))
    >>> spikes.flatten().tolist(), v.item()
    ([0.0, 1.0, 0.0, 1.0], 0.0)
    """
    check_sound(current, start, steps)
    refuse_unknown(dynamics, state)
    if steps is not None:
        current = current.expand(steps, *current.shape[1:])
    v = torch.zeros_like(current[0]) if start is None else start
    spikes = []
    for index, x in enumerate(current):
        step_noise = noise(index, x) if noise is not None else None
        s, v = step(x, v, dynamics, state, step_noise)
        spikes.append(s)
    return torch.stack(spikes), v


def widened(current: Tensor) -> Tensor:
    """Half-precision currents as float32: membranes accumulate."""
    return current.float() if current.dtype in HALF else current


def check(current: Tensor, start: Tensor | None, steps: int | None = None) -> None:
    """Refuse what no scan can run.

    Raises:
        MismatchError: an empty time or batch axis, a start of another shape, or ``steps`` beside a current of several.
        SpecError: the start holds NaN.
    """
    if steps is not None and (steps < 1 or current.shape[0] != 1):
        raise MismatchError(
            f"steps must be at least 1 and the current a single time step, got steps={steps} and {current.shape[0]} time steps"
        )
    if current.ndim < 2 or current.numel() == 0:
        raise MismatchError(f"a current must be [time, batch, ...] and not empty, got shape {tuple(current.shape)}")
    if start is not None and start.shape != current.shape[1:]:
        raise MismatchError(
            f"the start has shape {tuple(start.shape)}, one step of the current {tuple(current.shape[1:])}: they must agree"
        )
    if start is not None and has_nan(start):
        raise SpecError(f"the start of a neuron holds {int(torch.isnan(start).sum())} NaN; begin from a sound membrane")


def check_sound(current: Tensor, start: Tensor | None = None, steps: int | None = None) -> None:
    """``check``, and that the current holds no NaN, which twins look for as they read it.

    Raises:
        MismatchError: as ``check``.
        SpecError: the current or the start holds NaN.
    """
    check(current, start, steps)
    if has_nan(current):
        raise SpecError(f"the current of a neuron holds {int(torch.isnan(current).sum())} NaN; look at the layer before it")


def refuse_unknown(d: Dynamics, state: State | None) -> None:
    """Refuse what is chosen by a name that there is not; it is looked at once for equal choices.

    Raises:
        SpecError: an unknown name.
    """
    _refuse_unknown(CHOSEN(d), () if state is None else CHOSEN_OF_STATE(state))


@lru_cache(maxsize=256)
def _refuse_unknown(of_neuron: tuple[str, ...], of_state: tuple[str, ...]) -> None:
    for (name, valid), value in zip((OF_NEURON | OF_STATE).items(), of_neuron + of_state, strict=False):
        if value not in valid:
            raise SpecError(unknown(name.replace("_", " "), str(value), valid))


def step(
    x: Tensor, v: Tensor, d: Dynamics, state: State | None = None, noise: Tensor | None = None, feedback: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Spikes and membrane after one step; ``feedback`` is a second current, added after the charge."""
    late = None if d.reset_timing == "now" else spike(v - d.threshold, d.compare, d.surrogate)
    if late is not None and (d.detach_reset or d.reset_timing == "now_once"):
        late = late.detach()
    before_charge = d.reset == "value" and d.reset_timing != "next_charged"
    if late is not None and before_charge:
        v = _reset(v, late, d)
    u = charge(v * 2.0**d.state_shift, x, d) * 2.0**-d.state_shift if d.state_shift else charge(v, x, d)
    if feedback is not None:
        u = u + feedback
    if late is not None and not before_charge:
        u = _reset(u, late, d)
    w = u if state is None or state.snapped == "after_reset" else _snapped(u, state, noise)
    s = spike((u if d.compare_at == "full" else w) - d.threshold, d.compare, d.surrogate)
    if d.reset_timing in ("now", "now_once"):
        own = s.detach() if d.detach_reset else s
        w = _reset(w, own if late is None else own - late, d)
    if state is not None and state.snapped != "before_fire":
        w = _snapped(w, state, noise)
    return s, w


def charge(v: Tensor, x: Tensor, d: Dynamics) -> Tensor:
    """The membrane before it fires: see ``Dynamics``."""
    return CHARGES[d.charge](v, x, d)


def rest_of(d: Dynamics) -> float:
    """Where a membrane begins, and relaxes to: its rest, else where a reset to a value puts it (as in SpikingJelly), else 0."""
    if d.rest is not None:
        return d.rest
    return d.reset_value if d.reset == "value" else 0.0


def _multiply_shift(v: Tensor, x: Tensor, d: Dynamics) -> Tensor:
    return leaked(v, d.multiplier * 2.0**-d.shift, d.leak_rounding) + d.gain * x


def leaked(v: Tensor, kept: Tensor | float, rounding: LeakRounding) -> Tensor:
    """``rounding(v kept)`` of whole numbers, its gradient that without rounding.

    >>> leaked(torch.tensor([-5.0, 5.0]), 0.75, "floor").tolist()
    [-4.0, 3.0]
    """
    real = v.detach().double() * kept  # 16 bits times a leak of 12 are more than float32 holds
    found = {"floor": torch.floor, "trunc": torch.trunc, "half_up": lambda y: torch.floor(y + 0.5)}[rounding](real)
    return through(found.to(v.dtype), v * kept)


def _shift(v: Tensor, x: Tensor, d: Dynamics) -> Tensor:
    real = v * 2.0**-d.shift
    return v - through(torch.floor(real), real) + d.gain * x


def _shift_min1(v: Tensor, x: Tensor, d: Dynamics) -> Tensor:
    real = v * 2.0**-d.shift
    leak = torch.floor(real)
    return v - through(torch.where(leak == 0, torch.sign(v), leak), real) + d.gain * x


CHARGES: dict[str, Callable[[Tensor, Tensor, Dynamics], Tensor]] = {
    "scale": lambda v, x, d: d.decay * v + d.gain * x,
    "relax": lambda v, x, d: v - (v - rest_of(d)) / d.tau + x,
    "relax_input": lambda v, x, d: v + (x - (v - rest_of(d))) / d.tau,
    "rate": lambda v, x, d: v - (v - rest_of(d)) * d.gain + x,
    "rate_input": lambda v, x, d: v + (x - (v - rest_of(d))) * d.gain,
    "shift": _shift,
    "shift_min1": _shift_min1,
    "multiply_shift": _multiply_shift,
}


def _reset(v: Tensor, s: Tensor, d: Dynamics) -> Tensor:
    if d.reset == "subtract":
        return v - s * d.threshold
    if d.reset == "value":
        return (1.0 - s) * v + s * d.reset_value
    return v


def _snapped(v: Tensor, state: State, noise: Tensor | None) -> Tensor:
    v = state.bent(v)
    grid = state.at(v)
    if state.wrap:
        v = through(_wrapped(v, grid, state, noise), v)
    return snap(grid, v, state.rounding, state.gradient, noise)


def _wrapped(v: Tensor, grid: Grid, state: State, noise: Tensor | None) -> Tensor:
    """Two's complement overflow: whole turns around the grid are dropped; only for grids of whole numbers."""
    low, high = (along(bound, v, grid.axis) for bound in bounds(grid))
    whole = round_to_integer(v, state.rounding, noise)
    return torch.remainder(whole - low, high - low + 1) + low
