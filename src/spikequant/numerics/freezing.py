"""StoMPP: values that are graded where they are free and hard where they are frozen, without a straight-through estimator."""

import math
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.rounding import uniform
from spikequant.numerics.scan import Dynamics, charge, check_sound, refuse_unknown, rest_of
from spikequant.numerics.surrogate import spike


def mixed(x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool = False) -> Tensor:
    """``hard`` where frozen, ``clip(x, -1, 1)`` elsewhere.

    Gradient to ``x``: 1 where free and inside [-1, 1], else 0; with ``straight_through`` frozen values count as free.
    Shapes: ``frozen`` is bool and broadcasts to ``x`` (a mask shared by a batch); ``hard`` has the shape of ``x`` and no gradient.

    Source: StoMPP, Eq. 1 and 2 (as quoted by others).

    >>> x = torch.tensor([0.3, 0.3, -2.0], requires_grad=True)
    >>> y = mixed(x, torch.tensor([1.0, 1.0, -1.0]), torch.tensor([True, False, False]))
    >>> y.sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([1.0, 0.30000001192092896, -1.0], [0.0, 1.0, 0.0])
    """
    value: Tensor = _Mixed.apply(x, hard, frozen, straight_through)  # type: ignore[no-untyped-call]
    return value


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool) -> Tensor:
        inside = x.abs() <= 1
        ctx.save_for_backward(inside if straight_through else inside & ~frozen)
        return torch.where(frozen, hard, x.clamp(-1, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (open_,) = ctx.saved_tensors
        return gradients[0] * open_, None, None, None


def graded_scan(
    current: Tensor,
    dynamics: Dynamics,
    frozen: Tensor,
    window: float = 1.0,
    straight_through: bool = False,
    steps: int | None = None,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes ``[time, batch, ...]`` and the last membrane of a float neuron, as of ``lif_scan``; free neurons answer in grades.

    Equation: ``s = [v >= threshold]`` where frozen, else ``clip((v - threshold) / window + 1/2, 0, 1)``; a frozen neuron passes no
    gradient (with ``straight_through`` that of the grades), a free one that of its grade. Subtracting resets take ``s``, resets to
    a value a detached ``[s >= 1/2]``. Shapes: ``frozen`` is bool, one step of one sample: the same for all steps and samples.

    Raises:
        MismatchError: an empty time or batch axis.
        SpecError: the current holds NaN; an unknown choice; a reset in a later step, for which no grade is defined; a window not above 0.

    >>> d = Dynamics(torch.tensor(1.0), decay=torch.tensor(1.0))
    >>> graded_scan(torch.full((2, 1, 2), 0.75), d, torch.tensor([True, False]))[0].tolist()
    [[[0.0, 0.25]], [[1.0, 0.75]]]
    """
    check_sound(current, start, steps)
    refuse_unknown(dynamics, None)
    if dynamics.reset_timing != "now" or dynamics.state_shift or not window > 0:
        raise SpecError(
            f"graded spikes need reset_timing='now', no state shift and a window above 0, got {dynamics.reset_timing!r}, "
            f"{dynamics.state_shift} and {window}; train this neuron with a surrogate instead"
        )
    if steps is not None:
        current = current.expand(steps, *current.shape[1:])
    v, outputs = torch.full_like(current[0], rest_of(dynamics)) if start is None else start, []
    for x in current:
        v = charge(v, x, dynamics)
        # In units where mixed's clip to [-1, 1] is the grade's to [0, 1].
        place = 2 * (v - dynamics.threshold) / window
        hard = 2 * spike(v - dynamics.threshold, dynamics.compare, dynamics.surrogate).detach() - 1
        s = (mixed(place, hard, frozen, straight_through) + 1) / 2
        outputs.append(s)
        v = _reset(v, s, dynamics)
    return torch.stack(outputs), v


def _reset(v: Tensor, s: Tensor, d: Dynamics) -> Tensor:
    if d.reset == "subtract":
        return v - (s.detach() if d.detach_reset else s) * d.threshold
    return torch.where(s.detach() >= 0.5, d.reset_value, v) if d.reset == "value" else v


def refreshed(frozen: Tensor, share: float, rate: int, seed: int, layer: int, step: int) -> Tensor:
    """The mask after one step: about one entry in ``rate`` is drawn anew, frozen with probability ``share``.

    All draws follow from ``(seed, layer, step)`` and the entry's place. With share 1 all are frozen at once, with share 0 none.

    >>> refreshed(torch.zeros(1000, dtype=torch.bool), 1.0, 100, seed=0, layer=0, step=0).all().item()
    True
    """
    if share in (0.0, 1.0):
        return torch.full_like(frozen, bool(share))
    index = torch.arange(frozen.numel(), device=frozen.device).reshape(frozen.shape)
    redrawn = uniform(seed, 2 * layer, step, index) < 1 / rate
    return torch.where(redrawn, uniform(seed, 2 * layer + 1, step, index) < share, frozen)


def share(step: int, place: int, places: int, steps: int, tail: float, power: float) -> float:
    """How much of the ``place``-th of ``places`` layers shall be frozen at this step of ``steps``: rises within its own window.

    Equation: ``clamp((step - place * window) / window, 0, 1) ** power`` with ``window = floor((1 - tail) * steps / places)``.

    >>> [share(step, place=1, places=2, steps=100, tail=0.0, power=3.0) for step in (50, 75, 100)]
    [0.0, 0.125, 1.0]
    """
    window = max(1, math.floor((1 - tail) * steps / places))
    return float(min(max((step - place * window) / window, 0.0), 1.0) ** power)
