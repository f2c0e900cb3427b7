"""One step of a layer of neurons in torch: ``arithmetic.step`` with whole numbers held in floats."""

from typing import NamedTuple

import torch
from torch import Tensor

from spikequant.deploy.operations import Leak, Lif


class State(NamedTuple):
    """What a layer remembers: membrane, synaptic current, and the steps for which it is still refractory."""

    v: Tensor
    synaptic: Tensor
    left: Tensor | None = None


class Neurons:
    """One layer of neurons; a codebook's membrane is held as its level, not as its index."""

    def __init__(self, op: Lif, threshold: Tensor, levels: Tensor | None, leaked: Tensor | None) -> None:
        self.op, self.threshold, self.levels, self.leaked = op, threshold, levels, leaked

    def rest(self, like: Tensor) -> State:
        """The state before the first step."""
        v, zero = torch.full_like(like, self.op.reset_value if self.op.reset == "value" else 0), torch.zeros_like(like)
        return State(self._stored(v) if self.levels is not None else v, zero, None if self.op.refractory is None else zero)

    def step(self, acc: Tensor, state: State) -> tuple[Tensor, State]:
        """Spikes, and the state after one step."""
        op, (v, synaptic, left) = self.op, state
        if op.synapse is not None:
            half = 1 << (op.synapse.bits - 1)
            acc = synaptic = fitted(leak(synaptic, op.synapse.leak) + acc, -half, half - 1, op.synapse.overflow)
        if left is not None:
            acc = torch.where(left > 0, 0.0, acc)
        z, v = self._fired(acc, v)
        if left is not None and op.refractory is not None:
            left = torch.where(z > 0, float(op.refractory), (left - 1).clamp(min=0))
        return z, State(v, synaptic, left)

    def _fired(self, acc: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and membrane after the current ``acc``."""
        op = self.op
        scale, late = 2.0**op.shift, None
        if op.timing == "next":
            late = self._fires(v, self.threshold)
            if op.reset == "value":
                v = self._stored(torch.where(late > 0, float(op.reset_value), v))
        u = acc + (leak(v * scale, op.leak) if self.leaked is None else self._leaked(v))
        if late is not None and op.reset == "subtract":
            u = u - late * (self.threshold * scale)
        if op.snapped == "after_reset":
            z = self._fires(u, self.threshold * scale)
            return z, self._stored(shifted(self._reset(u, z, scale), op.shift, op.rounding))
        w = self._stored(shifted(u, op.shift, op.rounding))
        z = self._fires(u, self.threshold * scale) if op.compare_at == "full" else self._fires(w, self.threshold)
        w = self._reset(w, z, 1.0)
        return z, w if self.levels is None else self._stored(w)

    def _fires(self, value: Tensor, threshold: Tensor) -> Tensor:
        fired = torch.zeros_like(value)
        for count in range(1, self.op.max_spikes + 1):
            fired += value >= count * threshold if self.op.compare == ">=" else value > count * threshold
        return fired

    def _reset(self, value: Tensor, z: Tensor, scale: float) -> Tensor:
        if self.op.timing == "next" or self.op.reset == "none":
            return value
        if self.op.reset == "subtract":
            return value - z * (self.threshold * scale)
        return torch.where(z > 0, self.op.reset_value * scale, value)

    def _stored(self, value: Tensor) -> Tensor:
        if self.levels is None:
            return fitted(value, self.op.low, self.op.high, self.op.overflow)
        return self._at(self.levels, self._index(value))

    def _leaked(self, v: Tensor) -> Tensor:
        assert self.leaked is not None, "the caller has checked"
        return self._at(self.leaked, self._index(v))

    def _index(self, value: Tensor) -> Tensor:
        assert self.levels is not None, "the caller has checked"
        middles = self.levels[:, :-1] + self.levels[:, 1:]
        middles = middles.reshape(1, middles.shape[0], *[1] * (value.ndim - 2), middles.shape[1])
        return (2 * value.unsqueeze(-1) > middles).sum(-1)

    def _at(self, table: Tensor, index: Tensor) -> Tensor:
        rows = table.expand(index.shape[1], -1)
        channel = torch.arange(index.shape[1], device=index.device).reshape(1, -1, *[1] * (index.ndim - 2))
        return rows[channel, index]


def leak(v: Tensor, how: Leak) -> Tensor:
    """What remains of v after one step; see ``Leak``."""
    if how.kind == "shift":
        return v - torch.floor(v * 2.0**-how.shift)
    if how.kind == "shift_min1":
        taken = torch.floor(v * 2.0**-how.shift)
        return v - torch.where(taken == 0, torch.sign(v), taken)
    if how.kind == "constant":
        return torch.sign(v) * (v.abs() - how.amount).clamp(min=0)
    if how.kind != "multiply_shift":
        return v
    product = v * how.multiplier
    if how.rounding == "trunc":
        return torch.trunc(product * 2.0**-how.shift)
    return shifted(product, how.shift, how.rounding)


def shifted(x: Tensor, shift: int, rounding: str) -> Tensor:
    """``x / 2^shift``, rounded; see ``arithmetic.shifted``."""
    if rounding == "half_even":
        return torch.round(x * 2.0**-shift)
    half = 2.0 ** (shift - 1) if shift and rounding == "half_up" else 0.0
    return torch.floor((x + half) * 2.0**-shift)


def fitted(x: Tensor, low: int, high: int, overflow: str) -> Tensor:
    """``x`` in ``low..high``; see ``arithmetic.fitted``."""
    return x.clamp(low, high) if overflow == "saturate" else torch.remainder(x - low, high - low + 1) + low
