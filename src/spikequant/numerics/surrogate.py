"""Spikes and the surrogate gradients by which they learn."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from spikequant.errors import SpecError, unknown

Compare = Literal[">=", ">"]


class Surrogate(NamedTuple):
    """Which smooth curve stands in for the step, how steep it is (``slope`` of its own equation), and by what its ``height`` is multiplied:
    in units c times as fine a curve needs c times its slope, and ``fast_sigmoid`` and ``squat`` c times their height, too.
    """

    kind: str = "arctan"
    slope: float = 2.0
    height: float = 1.0

    def stretched(self, unit: float) -> "Surrogate":
        """The curve for membranes in units of ``unit``: ``unit f(unit u)``.

        >>> Surrogate("arctan", 2.0).stretched(0.5), Surrogate("squat", 2.0).stretched(0.5).height
        (Surrogate(kind='arctan', slope=1.0, height=1.0), 0.5)
        """
        high = self.kind in ("fast_sigmoid", "squat")  # the height of the others is their slope's
        return Surrogate(self.kind, self.slope * unit, self.height * unit if high else self.height)

    def derivative(self, u: Tensor) -> Tensor:
        """What stands in for the derivative of the step at ``u``."""
        found = DERIVATIVES[self.kind](u, self.slope)
        return found if self.height == 1 else found * self.height


def arctan(u: Tensor, slope: float) -> Tensor:
    """``slope/2 / (1 + (pi/2 slope u)^2)``: SpikingJelly's ATan and snnTorch's atan, peak 1 at slope 2."""
    return slope / 2 / (1 + (math.pi / 2 * slope * u) ** 2)


def sigmoid(u: Tensor, slope: float) -> Tensor:
    """``slope s (1 - s)`` with ``s = sigmoid(slope u)``: SpikingJelly's Sigmoid, peak 1 at slope 4."""
    s = torch.sigmoid(slope * u)
    return slope * s * (1 - s)


def fast_sigmoid(u: Tensor, slope: float) -> Tensor:
    """``1 / (slope |u| + 1)^2``: snnTorch's fast_sigmoid; slope 10 in DECOLLE."""
    return 1 / (slope * u.abs() + 1) ** 2


def triangle(u: Tensor, slope: float) -> Tensor:
    """``slope max(0, 1 - slope |u|)``: Q-SNN and SpQuant-SNN, slope 1."""
    return slope * (1 - slope * u.abs()).clamp(min=0)


def squat(u: Tensor, slope: float) -> Tensor:
    """``1/pi / (1 + (pi slope u)^2)``: SQUAT, Eq. 6."""
    return 1 / math.pi / (1 + (math.pi * slope * u) ** 2)


DERIVATIVES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "arctan": arctan,
    "sigmoid": sigmoid,
    "fast_sigmoid": fast_sigmoid,
    "triangle": triangle,
    "squat": squat,
}


def spike(u: Tensor, compare: Compare = ">=", surrogate: Surrogate = Surrogate()) -> Tensor:  # noqa: B008 - an immutable default
    """1 where ``u >= 0`` (or ``u > 0``), else 0; backward, the surrogate's derivative at ``u``.

    ``u`` is the membrane less its threshold.

    Raises:
        SpecError: an unknown surrogate or comparison.

    >>> u = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    >>> spike(u).tolist(), spike(u, ">").tolist()
    ([0.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    """
    if surrogate.kind not in DERIVATIVES:
        raise SpecError(unknown("surrogate", surrogate.kind, DERIVATIVES))
    if compare not in (">=", ">"):
        raise SpecError(f"compare must be '>=' or '>', got {compare!r}")
    spikes: Tensor = _Spike.apply(u, compare, surrogate)  # type: ignore[no-untyped-call]
    return spikes


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, compare: Compare, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0 if compare == ">=" else u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.derivative(u), None, None
