"""Neurons that compete and learn by spike timing: images shown one after another, every choice of the two readings of Q-SpiNN's network."""

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics.grid import Affine
from spikequant.numerics.rounding import Rounding, uniform
from spikequant.numerics.scan import check_sound
from spikequant.numerics.snap import snap

Holding = Literal["on_change", "every_step", "in_place"]
Round = Callable[[int, Tensor], Tensor]
# What each draw of noise is for: the second word of its name.
INPUT, WINNER, V, THRESHOLD, FIRED, DEPRESSED, POTENTIATED, SCALED, READ = range(9)


class Conductance(NamedTuple):
    """Synapses that open: ``dv = leak (rest - v + g_e (E_e - v) + g_i (E_i - v))``; g decays, spikes add to it (Diehl & Cook 2015)."""

    excitatory_decay: float = math.exp(-1.0)
    inhibitory_decay: float = math.exp(-0.5)
    excitatory_reversal: float = 0.0
    inhibitory_reversal: float = -100.0
    leak: float = 0.01


class Competition(NamedTuple):
    """Excitatory neurons with lateral inhibition and a threshold that adapts; mV and steps of 1 ms.

    Equations: ``v = decay (v - rest) + rest + x`` where the refractory time is over, with ``x = sum w s_in - inhibition (number of
    other neurons that fired in the step before)``; ``s = [v >= threshold + theta]``; a spike resets v and, while learning, adds
    ``theta_plus`` to theta, which decays by ``theta_decay``. ``single``: of several that fire at once one is drawn; all are reset.
    ``conductance`` replaces the sum by conductances. Source: BindsNET, DiehlAndCookNodes; Diehl & Cook 2015.
    """

    decay: float = math.exp(-0.01)
    rest: float = -65.0
    reset: float = -65.0
    threshold: float = -52.0
    refractory: int = 5
    inhibition: float = 120.0
    theta_plus: float = 0.05
    theta_decay: float = math.exp(-1e-7)
    single: bool = True
    conductance: Conductance | None = None


class Plasticity(NamedTuple):
    """Pair-wise, weight-dependent STDP; ``total``: what the weights into a neuron that fired sum to after an image (0: no matter).

    Equations (Q-SpiNN, Eq. 1): ``dw = -pre x_post (w - low)`` at a presynaptic spike, ``dw = post x_pre (high - w)`` at a
    postsynaptic one, then w is held in [low, high]; a trace x is set to 1 by a spike and decays by ``trace_decay``.
    """

    pre: float = 1e-4
    post: float = 1e-2
    low: float = 0.0
    high: float = 1.0
    total: float = 78.4
    trace_decay: float = math.exp(-0.05)


class Format(NamedTuple):
    """The grid of one variable, and how values are rounded to it."""

    grid: Affine
    rounding: Rounding = "half_up"


class Formats(NamedTuple):
    """The grids of weights, membrane and threshold (base plus theta); None is float.

    The membrane is rounded at every step before it fires. ``holding`` is how weights and threshold are held while they learn, and
    they are rounded: ``on_change`` when an event changes them (a spike, normalization, a new image) and ``every_step``, both beside a
    float32 shadow that takes up the small changes; or ``in_place``, without a shadow, whatever changes them.
    """

    weight: Format | None = None
    v: Format | None = None
    threshold: Format | None = None
    holding: Holding = "on_change"


class Learned(NamedTuple):
    """What a presentation leaves behind: ``weight`` ``[input, neuron]`` and ``theta`` ``[neuron]``; shadows, unless held in place."""

    weight: Tensor
    theta: Tensor


class Stream(NamedTuple):
    """The place of images in a run, which names their noise: ``first`` counts images from the start; ``steps`` of 1 ms for each."""

    steps: int = 250
    seed: int = 0
    first: int = 0


class Shown(NamedTuple):
    """How often each neuron fired at each image ``[image, neuron]``, what was learned and, if asked for, the lowest and
    highest membrane, threshold and weight ``[3, 2]``.
    """

    counts: Tensor
    learned: Learned
    extremes: Tensor | None


def present(
    chances: Tensor,
    learned: Learned,
    competition: Competition,
    plasticity: Plasticity | None = None,
    formats: Formats | None = None,
    stream: Stream | None = None,
    watch: bool = False,
) -> Shown:
    """Show images one after another; with ``plasticity`` each leaves its trace in the next.

    An input fires with its probability ``chances`` ``[image, input]`` at every step. Membranes, traces and refractory times begin anew with
    every image; theta and weights stay. Order of a step: inputs fire, theta decays, membranes charge and are rounded, neurons fire,
    weights of the inputs that fired fall, weights into the neurons that fired rise.

    Raises:
        MismatchError: shapes that do not fit.
        SpecError: a chance outside [0, 1], or weights that are not finite.

    >>> learned = Learned(torch.full((1, 1), 20.0), torch.zeros(1))
    >>> present(torch.ones(1, 1), learned, Competition(), stream=Stream(steps=12)).counts.tolist()
    [[2]]
    """
    check(chances, learned)
    formats, stream = formats or Formats(), stream or Stream()
    run = _Run(learned, competition, plasticity, formats, stream)
    counts = [run.image(index, each) for index, each in enumerate(chances)]
    return Shown(torch.stack(counts), Learned(run.weight, run.theta), run.extremes() if watch else None)


def check(chances: Tensor, learned: Learned) -> None:
    """Refuse what cannot be shown."""
    inputs, neurons = learned.weight.shape
    if chances.ndim != 2 or chances.shape[1] != inputs or learned.theta.shape != (neurons,) or not len(chances):
        shapes = f"chances {tuple(chances.shape)}, weight {tuple(learned.weight.shape)}, theta {tuple(learned.theta.shape)}"
        raise MismatchError(f"{shapes}: must be [image, input], [input, neuron] and [neuron], with at least one image")
    if not ((chances >= 0) & (chances <= 1)).all():
        raise SpecError(f"chances of a spike must lie in [0, 1], got {float(chances.min())} to {float(chances.max())}")
    if not (torch.isfinite(learned.weight).all() and torch.isfinite(learned.theta).all()):
        raise SpecError("weights or thresholds are NaN or infinite; begin from sound ones")


def held(value: Tensor, form: Format | None, stream: Stream, layer: int, now: int, index: Tensor | None = None) -> Tensor:
    """``value`` on its grid; the noise of a stochastic rounding is named by its purpose, the step and the element."""
    if form is None:
        return value
    if form.rounding != "stochastic":
        return snap(form.grid, value, form.rounding)
    index = torch.arange(value.numel(), device=value.device).reshape(value.shape) if index is None else index
    return snap(form.grid, value, form.rounding, noise=uniform(stream.seed, layer, now, index))


class _Run:
    """Images in a row; attributes are ``[neuron]``, but for ``weight`` and the input side."""

    def __init__(self, learned: Learned, c: Competition, p: Plasticity | None, f: Formats, stream: Stream) -> None:
        self.c, self.p, self.f, self.stream = c, p, f, stream
        self.weight, self.theta = learned.weight.clone(), learned.theta.clone()
        self.names = torch.arange(self.weight.numel()).reshape(self.weight.shape)
        self.used = held(self.weight, f.weight, stream, READ, stream.first * stream.steps)
        if p is not None and f.holding == "in_place":
            self.weight = self.used
        self.seen: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])

    def image(self, index: int, chances: Tensor) -> Tensor:
        """Show one image; how often each neuron fired."""
        stream, begin = self.stream, (self.stream.first + index) * self.stream.steps
        self.v, self.left = torch.full_like(self.theta, self.c.rest), torch.zeros_like(self.theta)
        self.push, self.pull = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.post, self.pre = torch.zeros_like(self.theta), torch.zeros_like(chances)
        counts = spikes = torch.zeros_like(self.theta)
        if self.p is None or self.f.holding == "on_change":
            self.bound = held(self.c.threshold + self.theta, self.f.threshold, stream, THRESHOLD, begin)
        inputs = torch.arange(len(chances))
        for now in range(begin, begin + stream.steps):
            arrived = (uniform(stream.seed, INPUT, now, inputs) < chances).nonzero().flatten().tolist()
            if self.p is not None:
                self._adapt(now)
            self._charge(arrived, spikes, now)
            self.seen[0].append(self.v)
            self.seen[1].append(self.bound)
            spikes = self._fire(now)
            counts = counts + spikes
            if self.p is not None:
                self._learn(self.p, arrived, spikes, now)
        if self.p is not None:
            self._normalize(self.p, counts > 0, begin)
        self.seen[2].append(self.weight)
        return counts.int()

    def extremes(self) -> Tensor:
        """Lowest and highest of all that were seen: membranes before they reset, thresholds, weights after an image."""
        return torch.stack([torch.stack(torch.aminmax(torch.stack(each))) for each in self.seen])

    def _adapt(self, now: int) -> None:
        self.theta = self._in_place(self.theta * self.c.theta_decay, THRESHOLD, now)
        if self.f.threshold is None or self.f.holding != "on_change":
            self.bound = held(self.c.threshold + self.theta, self.f.threshold, self.stream, THRESHOLD, now)

    def _in_place(self, theta: Tensor, purpose: int, now: int) -> Tensor:
        """Theta itself, not its sum with the base, in whose float32 a decay of 1e-7 would drown."""
        return held(theta, self.f.threshold, self.stream, purpose, now) if self.f.holding == "in_place" else theta

    def _charge(self, arrived: list[int], spikes: Tensor, now: int) -> None:
        c, x = self.c, torch.zeros_like(self.v)
        redrawn = self.p is not None and self.f.holding == "every_step" and self.f.weight is not None
        for i in arrived:  # one after another: the order of a sum decides its last bit
            row = held(self.weight[i], self.f.weight, self.stream, READ, now, self.names[i]) if redrawn else self.used[i]
            x = x + row
        self.v, self.push, self.pull = charge(c, self.v, x, self.left <= 0, spikes, (self.push, self.pull))
        self.left = self.left - 1
        self.v = held(self.v, self.f.v, self.stream, V, now)

    def _fire(self, now: int) -> Tensor:
        c, spikes = self.c, self.v >= self.bound
        self.left = torch.where(spikes, torch.tensor(float(c.refractory)), self.left)
        self.v = torch.where(spikes, torch.tensor(c.reset), self.v)
        if self.p is not None:
            self.theta = torch.where(spikes, self._in_place(self.theta + c.theta_plus, FIRED, now), self.theta)
            bound = held(c.threshold + self.theta, self.f.threshold, self.stream, FIRED, now)
            self.bound = torch.where(spikes, bound, self.bound)
        return winner(spikes, uniform(self.stream.seed, WINNER, now, torch.tensor(0))) if c.single else spikes.float()

    def _learn(self, p: Plasticity, arrived: list[int], spikes: Tensor, now: int) -> None:
        self.pre, self.post = self.pre * p.trace_decay, self.post * p.trace_decay
        self.pre[arrived] = 1.0
        self.post = torch.where(spikes > 0, torch.tensor(1.0), self.post)
        if arrived:
            w = self.weight[arrived]
            self._hold(arrived, slice(None), w - p.pre * self.post * (w - p.low), self.post > 0, DEPRESSED, now)
        for j in spikes.nonzero().flatten().tolist():
            w = self.weight[:, j]
            self._hold(slice(None), j, w + p.post * self.pre * (p.high - w), self.pre > 0, POTENTIATED, now)

    def _normalize(self, p: Plasticity, fired: Tensor, now: int) -> None:
        if p.total > 0 and fired.any():
            total = functools.reduce(torch.add, self.weight)
            factor = torch.where(fired & (total > 0), torch.tensor(p.total) / total, 1.0)
            self._hold(slice(None), slice(None), self.weight * factor, fired, SCALED, now)

    def _hold(self, rows: list[int] | slice, columns: int | slice, value: Tensor, changed: Tensor, purpose: int, now: int) -> None:
        """Put changed weights in place, within their bounds, and what is used of them on its grid."""
        p = self.p or Plasticity()
        value = torch.where(changed, value.clamp(p.low, p.high), self.weight[rows, columns])
        used = held(value, self.f.weight, self.stream, purpose, now, self.names[rows, columns])
        used = torch.where(changed, used, self.used[rows, columns])
        self.used, self.weight = self.used.clone(), self.weight.clone()
        self.used[rows, columns] = used
        self.weight[rows, columns] = used if self.f.holding == "in_place" else value


def charge(
    c: Competition, v: Tensor, x: Tensor, ready: Tensor, spikes: Tensor, conductances: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Membranes ``[..., neuron]`` after a step of input ``x``, and both conductances; ``spikes`` are those of the step before."""
    push, pull = conductances
    inhibited = c.inhibition * (spikes.sum(-1, keepdim=True) - spikes)
    if c.conductance is None:
        leaked = c.decay * (v - c.rest) + c.rest
        return torch.where(ready, leaked + (x - inhibited), leaked), push, pull
    g = c.conductance
    push, pull = push * g.excitatory_decay + x, pull * g.inhibitory_decay + inhibited
    drive = c.rest - v + push * (g.excitatory_reversal - v) + pull * (g.inhibitory_reversal - v)
    return torch.where(ready, v + g.leak * drive, v), push, pull


def winner(spikes: Tensor, draw: Tensor) -> Tensor:
    """One of the neurons ``[..., neuron]`` that fire, chosen by ``draw`` in [0, 1); none where none fires.

    >>> winner(torch.tensor([True, False, True]), torch.tensor(0.5)).tolist()
    [0.0, 0.0, 1.0]
    """
    chosen = torch.floor(draw.double() * spikes.sum(-1, keepdim=True))
    return (spikes & (spikes.cumsum(-1) - 1 == chosen)).float()


def compete(
    current: Tensor,
    competition: Competition,
    bound: Tensor,
    round_membrane: Round | None = None,
    seed: int = 0,
    seen: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes ``[time, batch, neuron]`` and the last membrane of neurons that compete and no longer learn, under thresholds ``bound``.

    ``current`` is the weighted sum of the spikes that arrive; ``round_membrane(step, v)`` puts membranes on their grid; ``seen`` takes the
    membrane of every step before that.

    Raises:
        MismatchError: an empty time or batch axis.
        SpecError: the current holds NaN.

    >>> compete(torch.full((3, 1, 1), 20.0), Competition(), torch.tensor([-52.0]))[0].flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    check_sound(current)
    c, v = competition, torch.full_like(current[0], competition.rest)
    left, spikes, conductances = torch.zeros_like(v), torch.zeros_like(v), (torch.zeros_like(v), torch.zeros_like(v))
    fired = []
    for step, x in enumerate(current):
        v, *opened = charge(c, v, x, left <= 0, spikes, conductances)
        conductances = (opened[0], opened[1])
        if seen is not None:
            seen.append(v)
        v = v if round_membrane is None else round_membrane(step, v)
        crossed = v >= bound
        left = torch.where(crossed, float(c.refractory), left - 1)
        v = torch.where(crossed, c.reset, v)
        spikes = winner(crossed, uniform(seed, WINNER, step, torch.tensor(0))) if c.single else crossed.to(v.dtype)
        fired.append(spikes)
    return torch.stack(fired), v
