"""The state doctor: what the grid of a membrane does at rest, at the threshold and under the leak, and what data makes of it."""

import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikequant.behavior.charges import CURRENT, show
from spikequant.behavior.recorder import Loader, first
from spikequant.errors import MismatchError
from spikequant.neurons import LIF, Competing, HoldsGrid, ParametricLIF, Refraining, SecondOrder, Synaptic, spiking
from spikequant.numerics import Grid, Table, bounds, encode, levels, snap
from spikequant.numerics.scan import charge, leaked, rest_of

# From where advice is given: shares of membranes clipped and of codes idle, a reach in thresholds, and how far off one fires.
CLIPPED, IDLE, FAR, OFF = 0.01, 0.5, 2.0, 0.1
TOPS = ("above", "upper_limit", "high", "integer")  # fields of specs that raise the top
ZEROS = {"zero": "zero = true", "below": "below"}  # and that make zero a level
MOST_CODES = 256  # of a grid whose occupancy is told code by code


class Leak(NamedTuple):
    """What a value is ``after`` one step in which nothing comes in, before it is rounded, and where it then tends to."""

    after: Callable[[Tensor], Tensor]
    rest: float = 0.0


class GridHealth(NamedTuple):
    """A grid beside its neuron. ``rest`` is where a membrane of 0 is held; ``fires_from`` the lowest level that fires, None where none
    does; ``stalled`` the levels but that of rest, of all ``codes``, that one step's leak does not move; ``fires_at`` the least membrane
    that fires once it is rounded to the nearest level (of rows of levels, that farthest from the threshold), None where there is none."""

    low: float
    high: float
    codes: int
    zero: bool
    rest: float
    on_threshold: bool
    fires_from: float | None
    stalled: int
    fires_at: float | None


class UseHealth(NamedTuple):
    """What membranes did before they were rounded: extremes, the shares below and above the grid (of a grid for each channel, the worst),
    how many codes never occurred."""

    low: float
    high: float
    below: float | None = None
    above: float | None = None
    unused: int | None = None


class Code(NamedTuple):
    """One code of a grid: the level it stands for, the share of membranes that were rounded to it, whether the leak does not move it."""

    level: float
    share: float
    stalled: bool


class StateHealth(NamedTuple):
    """One layer: its neuron, its grid (None: float, or one that follows the data), its use (None: no data), and what to change.

    Of thresholds for each channel it tells that whose first firing is farthest off; the mean where there is no grid.
    Of the grid of synaptic currents it tells what to change alone.
    ``occupancy`` has a line for each code, where data were seen, the grid is one for all channels, and it has at most 256 codes.
    """

    layer: str
    threshold: float
    decay: float
    spec: str
    grid: GridHealth | None
    use: UseHealth | None
    advice: tuple[str, ...]
    occupancy: tuple[Code, ...] = ()


def state_health(model: nn.Module, loader: Loader | None = None) -> list[StateHealth]:
    """Every spiking layer examined; with a loader (never of test data) also the use that membranes make of their grids.

    Raises:
        MismatchError: the model has no spiking neuron, or, with a loader, one saw nothing or stands in for a guest.
        SpecError: the loader gave no batch.

    >>> from spikequant.quantizers import Uniform
    >>> sick = state_health(nn.Sequential(LIF(decay=0.9, state=Uniform(bits=2, low=-1.0, high=1.0))))[0]
    >>> sick.grid.zero, round(sick.grid.rest, 2), sick.grid.stalled
    (False, 0.33, 4)
    """
    neurons = spiking(model)
    if not neurons:
        raise MismatchError(f"{type(model).__name__} holds no spiking neuron; there is no state to examine")
    seen = {name: _Use(neuron.state) for name, neuron in neurons.items()}
    currents = {name: neuron for name, neuron in neurons.items() if isinstance(neuron, SecondOrder) and neuron.synapse_state is not None}
    seen |= {f"{name}{CURRENT}": _Use(neuron.synapse_state) for name, neuron in currents.items()}
    if loader is not None:
        show(model, seen, first(loader, sys.maxsize))
    used = {name: seen[f"{name}{CURRENT}"].health() for name in currents}
    found = [_examined(name, neuron, seen[name]) for name, neuron in neurons.items()]
    return [each._replace(advice=(*each.advice, *_on_currents(currents.get(each.layer), used.get(each.layer)))) for each in found]


def retention(neuron: LIF) -> float:
    """What a membrane keeps of itself in one step, the largest of its channels."""
    d = neuron.dynamics
    if d.charge in ("shift", "shift_min1"):
        return float(1 - 2.0**-d.shift)
    if d.charge in ("rate", "rate_input"):
        return float(1 - (neuron.w.sigmoid() if isinstance(neuron, ParametricLIF) else torch.as_tensor(d.gain)).detach().min())
    return d.multiplier * 2.0**-d.shift if d.charge == "multiply_shift" else float(neuron.decay.max())


def _kept_current(neuron: SecondOrder) -> float:
    """What a synaptic current keeps of itself in one step, the largest of its channels."""
    if isinstance(neuron, Synaptic):
        return float(1 - neuron.synapse.min()) if neuron.form == "rate" else float(neuron.synapse.max())
    return float(neuron.decay.max())


def _leak(neuron: LIF) -> Leak:
    """That of a membrane; where channels differ, of the one that keeps most."""
    if isinstance(neuron, Refraining):
        return Leak(torch.zeros_like)  # it keeps nothing of itself
    if isinstance(neuron, Competing):
        kept, rest = neuron.decay.max(), neuron.rest
        return Leak(lambda v: kept * (v - rest) + rest, rest)
    d = neuron.standing._replace(decay=neuron.decay.max())
    relaxes = d.charge in ("relax", "relax_input", "rate", "rate_input")
    return Leak(lambda v: charge(v * 2.0**d.state_shift, torch.zeros_like(v), d) * 2.0**-d.state_shift, rest_of(d) if relaxes else 0.0)


def _leak_of_current(neuron: SecondOrder) -> Leak:
    kept, d = _kept_current(neuron), neuron.dynamics
    if isinstance(neuron, Synaptic) and neuron.form == "whole":
        return Leak(lambda i: leaked(i, kept, d.leak_rounding))
    return Leak(lambda i: kept * i)


def _standing(holder: HoldsGrid | None) -> Grid | None:
    """The grid, where there is one that stands."""
    return None if holder is None or getattr(holder, "ranging", None) is not None else holder.grid()


def _examined(name: str, neuron: LIF, seen: "_Use") -> StateHealth:
    thresholds, decay, grid = neuron.fires_at.detach(), retention(neuron), _standing(neuron.state)
    use = seen.health()
    found, threshold = (None, float(thresholds.mean())) if grid is None else _grid_health(grid, neuron, thresholds.reshape(-1, 1))
    if found is None:
        advice = [*_advice_without_grid(use, threshold, neuron.state)]
    else:
        advice = [*_advice_on_levels(found, threshold, decay, neuron.state), *_advice_on_use(found, use)]
    told = () if grid is None or not seen.seen else _occupancy(_stalled(grid, _leak(neuron), neuron.state), grid, seen)
    return StateHealth(name, threshold, decay, _label(neuron), found, use, tuple(advice), told)


def _on_currents(neuron: SecondOrder | None, use: UseHealth | None) -> Iterator[str]:
    """What to change about the grid of synaptic currents, which know no threshold."""
    if neuron is None:
        return
    grid, decay = _standing(neuron.synapse_state), _kept_current(neuron)
    if grid is None:
        told = [*_advice_without_grid(use, 0.0, neuron.synapse_state)]
    else:
        health = _levels_health(grid, _stalled(grid, _leak_of_current(neuron), neuron.synapse_state))
        told = [*_advice_on_levels(health, None, decay, neuron.synapse_state), *_advice_on_use(health, use)]
    yield from (f"current: {each}" for each in told)


def _spec(holder: HoldsGrid | None) -> Any:
    return getattr(holder, "spec", holder)


def _fields(holder: HoldsGrid | None) -> Collection[str]:
    return getattr(type(_spec(holder)), "model_fields", ())


def _label(neuron: LIF) -> str:
    spec = _spec(neuron.state)
    if spec is None:
        return "float"
    return f"{spec.label()} {spec.width} bits" if hasattr(spec, "label") else type(spec).__name__


@torch.no_grad()
def _levels_health(grid: Grid, stalled: Tensor) -> GridHealth:
    """A grid beside no threshold."""
    values, whole = _rows(grid)
    rest = snap(whole, values.new_zeros(values.shape[0], 1) if values.shape[0] > 1 else values.new_zeros(1))
    low, high = bounds(grid)
    return GridHealth(
        low=float(low.min()),
        high=float(high.max()),
        codes=grid.size,
        zero=bool((values == 0).any(1).all()),
        rest=float(rest.flatten()[rest.abs().argmax()]),
        on_threshold=False,
        fires_from=None,
        stalled=int(stalled.sum(1).max()),
        fires_at=None,
    )


@torch.no_grad()
def _grid_health(grid: Grid, neuron: LIF, thresholds: Tensor) -> tuple[GridHealth, float]:
    """The grid beside thresholds ``[channel or 1, 1]``, and the threshold of the channel whose first firing is farthest from its own."""
    values, _ = _rows(grid)
    thresholds = thresholds.to(values.device)
    firing = values > thresholds if neuron.dynamics.compare == ">" else values >= thresholds
    nearest = neuron.state is not None and neuron.state.rounding_rule == "nearest_even"
    lowest = torch.where(firing, values, torch.inf).amin(1, keepdim=True)
    begins = torch.where(firing.any(1, keepdim=True), _fires_at(grid, values, firing), torch.inf) if nearest else lowest
    worst = int(((begins - thresholds).abs() / thresholds.abs()).argmax())
    health = _levels_health(grid, _stalled(grid, _leak(neuron), neuron.state))._replace(
        on_threshold=bool(((values - thresholds).abs() <= 1e-6 * thresholds).any(1).all()),
        fires_from=float(lowest.min()) if firing.any(1).all() else None,
        fires_at=float(begins[worst]) if nearest and firing.any(1).all() else None,
    )
    return health, float(thresholds.expand_as(begins)[worst])


def _fires_at(grid: Grid, values: Tensor, firing: Tensor) -> Tensor:
    """The least membrane of each channel that fires once it is rounded to the nearest level."""
    own = grid.edges if isinstance(grid, Table) else None
    edges = (values[:, 1:] + values[:, :-1]) / 2 if own is None else own.reshape(values.shape[0], -1)
    # Where the lowest level fires, even rest does.
    below = torch.cat([torch.zeros_like(values[:, :1]), edges], 1).expand(firing.shape)
    return below.gather(1, firing.int().argmax(1, keepdim=True))


def _rows(grid: Grid) -> tuple[Tensor, Grid]:
    """The levels, a row for each channel that has its own, and the grid that snaps such rows."""
    values = levels(grid).reshape(-1, grid.size)
    return values, grid._replace(axis=0) if values.shape[0] > 1 else grid


@torch.no_grad()
def _stalled(grid: Grid, leak: Leak, holder: HoldsGrid | None) -> Tensor:
    """Which levels but that of rest one step's leak does not move ``[channel or 1, code]``; rounded at random, they move in time."""
    values, whole = _rows(grid)
    rows = values if values.shape[0] > 1 else values.reshape(-1)
    rounding: Any = getattr(holder, "rounding_rule", "nearest_even")
    left = leak.after(rows) if rounding == "stochastic" else snap(whole, leak.after(rows), rounding)
    return ((left == rows) & (rows != leak.rest)).reshape(values.shape)


@torch.no_grad()
def _occupancy(stalled: Tensor, grid: Grid, seen: "_Use") -> tuple[Code, ...]:
    values, _ = _rows(grid)
    if values.shape[0] > 1 or grid.size > MOST_CODES:
        return ()
    columns = (values[0].tolist(), (seen.counts / seen.seen).tolist(), stalled[0].tolist())
    return tuple(map(Code, *columns))


class _Use:
    """Extremes, clipped counts and codes of one neuron's membranes, or currents, added up over calls."""

    def __init__(self, holder: HoldsGrid | None) -> None:
        self.grid = _standing(holder)
        self.low, self.high, self.seen = torch.inf, -torch.inf, 0
        self.below = self.above = torch.zeros(1, dtype=torch.int64)
        self.counts = torch.zeros(0 if self.grid is None else self.grid.size, dtype=torch.int64)

    def __call__(self, charged: Tensor) -> None:
        v = charged.flatten(0, 1)
        self.low, self.high = min(self.low, float(v.min())), max(self.high, float(v.max()))
        self.seen += v.numel()
        if self.grid is not None:
            low, high = (end.reshape(-1, 1).to(v.device) for end in bounds(self.grid))
            columns = v.transpose(0, 1).reshape(len(low), -1)
            self.below, self.above = self.below + (columns < low).sum(1).cpu(), self.above + (columns > high).sum(1).cpu()
            self.counts += torch.bincount(encode(self.grid, v).flatten().cpu(), minlength=self.grid.size)

    def health(self) -> UseHealth | None:
        """What was seen, None if nothing was."""
        if not self.seen:
            return None
        if self.grid is None:
            return UseHealth(self.low, self.high)
        below, above = (int(each.max()) * len(each) / self.seen for each in (self.below, self.above))
        return UseHealth(self.low, self.high, below, above, int((self.counts == 0).sum()))


def _advice_without_grid(use: UseHealth | None, threshold: float, follows: HoldsGrid | None) -> Iterator[str]:
    if follows is not None:
        how = "freeze it (range = 'frozen')" if "range" in _fields(follows) else "take anchored"
        yield f"the range follows the data: {how} before export"
    reach = 0.0 if use is None or not threshold else max(abs(use.low), abs(use.high)) / threshold
    if reach > FAR:
        yield f"membranes reach {reach:.3g} times the threshold: a grid must cover them, or be dense at the threshold"


def _advice_on_levels(grid: GridHealth, threshold: float | None, decay: float, holder: HoldsGrid | None) -> Iterator[str]:
    """What its levels call for, in fields of its own spec; ``threshold``: None for currents."""
    fields = _fields(holder)
    if threshold is not None and grid.fires_from is None:
        tops = [name for name in TOPS if name in fields]
        yield f"no level fires: raise the top above the threshold ({' or '.join(tops or ['take anchored, with above'])})"
    if not grid.zero:
        ways = " or ".join(way for name, way in ZEROS.items() if name in fields)
        yield f"zero is no level, rest is held at {grid.rest:.3g}: {f'set {ways}, or ' if ways else ''}take anchored"
    if grid.fires_at is not None and grid.fires_at <= 0:
        yield "a silent neuron is held at a level that fires: it fires in every step"
    elif threshold is not None and grid.fires_at is not None and abs(grid.fires_at - threshold) > OFF * threshold:
        yield f"it fires from {grid.fires_at:.3g}, not from {threshold:.3g}: take more bits, or levels as far below the threshold as above"
    if grid.stalled and decay < 1:
        how = f"set decay = {decay:.3g}" if "decay" in fields else f"take more bits, or anchored with decay = {decay:.3g}"
        yield f"{grid.stalled} levels outlast the leak: {how}"


def _advice_on_use(grid: GridHealth, use: UseHealth | None) -> Iterator[str]:
    if use is None or use.below is None or use.above is None or use.unused is None:
        return
    if use.above > CLIPPED:
        yield f"clipped above the top: widen the range to {use.high:.3g}"
    if use.below > CLIPPED:
        yield f"clipped below the bottom: widen the range to {use.low:.3g}"
    if use.unused > IDLE * grid.codes:
        yield f"{use.unused} of {grid.codes} codes are never used: fewer bits, or a range from {use.low:.3g} to {use.high:.3g}"
