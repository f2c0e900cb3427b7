"""DECOLLE's neuron: traces P and Q of the spikes that arrive, and the refractory state R of those that leave."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from spikequant.numerics.scan import check_sound
from spikequant.numerics.surrogate import Compare, Surrogate, spike

Scaling = Literal["normalized", "plain"]
Round = Callable[[int, Tensor], Tensor]
FAST_SIGMOID = Surrogate("fast_sigmoid", 10.0)


class Traced(NamedTuple):
    """Traces of the membrane (P) and of the synapse (Q) of every input, ``[batch, ...]``."""

    p: Tensor
    q: Tensor


class Refrained(NamedTuple):
    """The refractory state R, and the spikes of the step before, ``[batch, ...]``."""

    r: Tensor
    spikes: Tensor


def kept(step: int, value: Tensor) -> Tensor:
    """No rounding: the state stays float."""
    return value


def trace(
    x: Tensor,
    held: Traced,
    alpha: Tensor,
    beta: Tensor,
    scaling: Scaling = "normalized",
    step: int = 0,
    rounds: tuple[Round, Round] = (kept, kept),
) -> tuple[Tensor, Traced]:
    """What the synapses weigh in one step, and the traces after it; ``rounds`` puts P and Q on their grids.

    Equations: ``normalized`` ``P' = alpha P + (1 - alpha) Q``, ``Q' = beta Q + (1 - beta) x``, and P' is weighed (DECOLLE's code, its
    default layer); ``plain`` ``P' = alpha P + Q``, ``Q' = beta Q + x``, and P is weighed (Q-SpiNN, Eq. 2).

    >>> zero = torch.zeros(1)
    >>> trace(torch.ones(1), Traced(zero, zero), torch.tensor(0.5), torch.tensor(0.75))[1].q.item()
    0.25
    """
    into_p, into_q = (1 - alpha, 1 - beta) if scaling == "normalized" else (torch.ones_like(alpha), torch.ones_like(beta))
    p = rounds[0](step, alpha * held.p + into_p * held.q)
    q = rounds[1](step, beta * held.q + into_q * x)
    return (p if scaling == "normalized" else held.p), Traced(p, q)


class Refractory(NamedTuple):
    """How a neuron that has fired holds back.

    Equations: ``normalized`` ``R' = gamma R - (1 - gamma) rho s``, ``U = I + R'``, ``s' = [U > threshold]``;
    ``plain`` ``U = I - rho R``, ``s' = [U >= threshold]``, ``R' = gamma R + s'``. I is the weighed P.
    """

    gamma: Tensor
    threshold: Tensor
    rho: float = 1.0
    scaling: Scaling = "normalized"

    @property
    def compare(self) -> Compare:
        """Whether a membrane at the threshold fires."""
        return ">" if self.scaling == "normalized" else ">="


def refrain(
    current: Tensor, held: Refrained, neuron: Refractory, step: int = 0, rounds: tuple[Round, Round] = (kept, kept)
) -> tuple[Tensor, Refrained]:
    """The membrane U of one step, and R and spikes after it; ``rounds`` puts U and R on their grids. Gradients reach U
    by the current alone.

    >>> neuron, zero = Refractory(torch.tensor(0.65), torch.tensor(0.0)), torch.zeros(1)
    >>> u, after = refrain(torch.ones(1), Refrained(zero, zero), neuron)
    >>> u.item(), after.spikes.item(), round(refrain(torch.zeros(1), after, neuron)[0].item(), 6)
    (1.0, 1.0, -0.35)
    """
    r = held.r.detach()
    if neuron.scaling == "normalized":
        r = rounds[1](step, neuron.gamma * r - (1 - neuron.gamma) * neuron.rho * held.spikes)
        u = rounds[0](step, current + r)
        return u, Refrained(r, fired(u, neuron).detach())
    u = rounds[0](step, current - neuron.rho * r)
    spikes = fired(u, neuron).detach()
    return u, Refrained(rounds[1](step, neuron.gamma * r + spikes), spikes)


def fired(u: Tensor, neuron: Refractory, surrogate: Surrogate = FAST_SIGMOID) -> Tensor:
    """The spikes of a membrane, with the surrogate's gradient."""
    return spike(u - neuron.threshold, neuron.compare, surrogate)


def trace_scan(
    x: Tensor, alpha: Tensor, beta: Tensor, scaling: Scaling = "normalized", rounds: tuple[Round, Round] = (kept, kept)
) -> tuple[Tensor, Tensor]:
    """What the synapses weigh in every step, and Q after it, ``[time, batch, ...]`` each, from traces at 0.

    Raises:
        MismatchError: an empty time or batch axis.
        SpecError: what arrives holds NaN.

    >>> trace_scan(torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor(0.5), torch.tensor(0.5))[0].flatten().tolist()
    [0.0, 0.25, 0.25]
    """
    check_sound(x)
    held, weighed = Traced(torch.zeros_like(x[0]), torch.zeros_like(x[0])), []
    for step, spikes in enumerate(x):
        given, held = trace(spikes, held, alpha, beta, scaling, step, rounds)
        weighed.append((given, held.q))
    given, q = (torch.stack(each) for each in zip(*weighed, strict=True))
    return given, q


def refractory_scan(current: Tensor, neuron: Refractory, rounds: tuple[Round, Round] = (kept, kept)) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, membranes U and refractory states R of every step, ``[time, batch, ...]`` each, from rest.

    Raises:
        MismatchError: an empty time or batch axis.
        SpecError: the current holds NaN.

    Source: Kaiser, Mostafa, Neftci, "Synaptic plasticity dynamics for deep continuous local learning (DECOLLE)", 2020; Q-SpiNN, Eq. 2.

    >>> neuron = Refractory(torch.tensor(0.5), torch.tensor(0.0), scaling="plain")
    >>> refractory_scan(torch.zeros(3, 1), neuron)[0].flatten().tolist()
    [1.0, 0.0, 0.0]
    """
    check_sound(current)
    zero, found = torch.zeros_like(current[0]), []
    held = Refrained(zero, zero)
    for step, x in enumerate(current):
        u, held = refrain(x, held, neuron, step, rounds)
        found.append((fired(u, neuron), u, held.r))
    spikes, membranes, states = (torch.stack(each) for each in zip(*found, strict=True))
    return spikes, membranes, states
