"""The two halves of DECOLLE's neuron: traces before the synapses, and behind them a membrane that holds back."""

from typing import get_args

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError, unknown
from spikequant.neurons.lif import LIF, HoldsGrid, constant
from spikequant.neurons.rounder import Round, rounder
from spikequant.neurons.sequence import as_given, sequence
from spikequant.numerics import Refractory, Scaling, refractory_scan, trace_scan
from spikequant.numerics.decolle import kept


class Traces(nn.Module):
    """Traces P and Q of the spikes that arrive; hands out P, which the synapses weigh. The equations are in ``spikequant.numerics.trace``.

    ``alpha`` and ``beta`` are the decays of P and Q; ``p_state`` and ``q_state`` their grids, None for float.

    Shapes: spikes and P are ``[time, batch, ...]``.

    >>> Traces(alpha=0.5, beta=0.5)(torch.tensor([[[1.0]], [[0.0]], [[0.0]]])).flatten().tolist()
    [0.0, 0.25, 0.25]
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self, alpha: float = 0.97, beta: float = 0.92, scaling: Scaling = "normalized") -> None:
        super().__init__()
        self.scaling: Scaling = _known(scaling)
        self.register_buffer("alpha", _decay("alpha", alpha))
        self.register_buffer("beta", _decay("beta", beta))
        self.p_state: HoldsGrid | None = None
        self.q_state: HoldsGrid | None = None

    @property
    def rounds(self) -> tuple[Round, Round]:
        """How P and Q are rounded."""
        return _rounds(self.p_state, self.q_state)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """P of every step, from rest; with ``steps``, one time step stands for that many."""
        return as_given(trace_scan(sequence(x, steps), self.alpha, self.beta, self.scaling, self.rounds)[0], x)

    @torch.no_grad()
    def stored(self, part: str, x: Tensor, steps: int | None = None) -> Tensor:
        """``p`` or ``q`` of every step, unrounded: what its grid should cover."""
        return trace_scan(sequence(x, steps), self.alpha, self.beta, self.scaling)[part == "q"]

    def quantize_constant(self, name: str, value: Tensor) -> None:
        """Put a quantized decay in place."""
        getattr(self, name).copy_(value)


class Refraining(LIF):
    """A membrane without memory but for R, which a spike of its own leaves behind. The equations are in ``spikequant.numerics.Refractory``.

    ``gamma`` is the decay of R, ``rho`` how much a spike adds to it. Variables: ``v`` (U, before it fires) and ``r``; constant: ``gamma``.

    >>> Refraining()(torch.tensor([[[1.0]], [[0.3]], [[0.3]]])).flatten().tolist()
    [1.0, 0.0, 1.0]
    """

    def __init__(self, gamma: float = 0.65, rho: float = 1.0, threshold: float = 0.0, scaling: Scaling = "normalized") -> None:
        super().__init__(_decay("gamma", gamma), constant(threshold), reset="value", reset_value=min(threshold, 0.0) - 1.0)
        self.rho, self.scaling = rho, _known(scaling)
        self.r_state: HoldsGrid | None = None

    @property
    def gamma(self) -> Tensor:
        """The decay of R."""
        return self.decay

    @property
    def settings(self) -> Refractory:
        """The dynamics, their quantized constants among them."""
        return Refractory(self.decay, self.threshold, self.rho, self.scaling)

    @property
    def rounds(self) -> tuple[Round, Round]:
        """How U and R are rounded."""
        return _rounds(self.state, self.r_state)

    def _scan(self, current: Tensor, start: Tensor | None, steps: int | None, counts: Tensor | None) -> tuple[Tensor, Tensor]:
        if start is not None:
            raise MismatchError("a refractory neuron begins from rest: pass no start")
        spikes, u, _ = refractory_scan(sequence(current, steps), self.settings, self.rounds)
        if counts is not None:
            counts.copy_(spikes.detach().sum(0))
        self.show_state(current, steps, start)
        return as_given(spikes, current), u[-1]

    @torch.no_grad()
    def charged(self, current: Tensor, steps: int | None = None, start: Tensor | None = None, on_grid: bool = False) -> Tensor:
        """The membrane U of every step before it is rounded and fires, ``[time, batch, ...]``."""
        seen = list[Tensor]()
        of_u, of_r = self.rounds if on_grid else (kept, kept)

        def watched(step: int, u: Tensor) -> Tensor:
            seen.append(u)
            return of_u(step, u)

        refractory_scan(sequence(current, steps), self.settings, (watched, of_r))
        return torch.stack(seen)

    @torch.no_grad()
    def stored(self, part: str, current: Tensor, steps: int | None = None) -> Tensor:
        """R of every step, unrounded: what its grid should cover."""
        return refractory_scan(sequence(current, steps), self.settings)[2]


def _rounds(first: HoldsGrid | None, second: HoldsGrid | None) -> tuple[Round, Round]:
    return (kept if first is None else rounder(first), kept if second is None else rounder(second))


def tracing(model: nn.Module) -> dict[str, Traces]:
    """The traces of a model by their names, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Traces)}


def _decay(name: str, value: float) -> Tensor:
    if not 0 <= value < 1:
        raise SpecError(f"{name} must lie in [0, 1), got {value}")
    return constant(value)


def _known(scaling: Scaling) -> Scaling:
    if scaling not in get_args(Scaling):
        raise SpecError(unknown("scaling", str(scaling), get_args(Scaling)))
    return scaling
