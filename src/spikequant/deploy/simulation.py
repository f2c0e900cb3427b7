"""A program as a torch module: the same whole numbers, held in float32 where every sum stays below 2^24, else in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikequant.deploy.bounds import FLOAT32, weights
from spikequant.deploy.operations import Conv2d, Dense, Leak, Lif, OrPool, SumPool
from spikequant.deploy.program import INPUT, Program


class Simulation(nn.Module):
    """A program that computes in floats, exactly: codes in, scores ``[batch, class]`` out, on CPU and GPU.

    Shapes: codes ``[batch, ...]`` where the source is still, else ``[time, batch, ...]``, as ``machine.encode`` gives them.

    >>> Simulation.dtype_of(1000), Simulation.dtype_of(2**24)
    (torch.float32, torch.float64)
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.dtype = self.dtype_of(max(proof.widest.largest for proof in program.proofs.values()))
        for op in program.header.operations:
            if isinstance(op, Dense | Conv2d):
                self._hold(f"{op.name}.weight", torch.from_numpy(weights(op, program.tensors) << op.shift))
                if op.bias:
                    self._hold(f"{op.name}.bias", torch.from_numpy(program.tensors[f"{op.name}.bias"]))
            if isinstance(op, Lif):
                for part in op.slots([program.shapes[op.name]]):
                    self._hold(f"{op.name}.{part}", torch.from_numpy(program.tensors[f"{op.name}.{part}"]))

    @staticmethod
    def dtype_of(largest: int) -> torch.dtype:
        """The float type that holds every whole number up to this magnitude."""
        return torch.float32 if largest < FLOAT32 else torch.float64

    def _hold(self, name: str, value: Tensor) -> None:
        self.register_buffer(name.replace(".", "__"), value.to(self.dtype))

    def tensor(self, name: str) -> Tensor | None:
        """A tensor of the program, None where it has none of this name."""
        return getattr(self, name.replace(".", "__"), None)

    def forward(self, codes: Tensor) -> Tensor:
        """Scores ``[batch, class]``; see ``Header.readout``."""
        for _, value in self.values(codes):
            last = value
        return self.scores(last)

    def scores(self, last: Tensor) -> Tensor:
        """What the readout makes of the last operation's value ``[time, batch, ...]``."""
        last = last.expand(self.program.header.time, *last.shape[1:]).flatten(2)
        if self.program.header.readout == "sum":
            return last.sum(0)
        if self.program.header.readout == "last":
            return last[-1]
        fired = last > 0
        never = torch.full_like(last[0], len(last))
        return torch.where(fired.any(0), fired.to(torch.uint8).argmax(0).to(last.dtype), never)

    @torch.no_grad()
    def values(self, codes: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every value ``[time, batch, ...]`` by the name of its operation, time 1 where all steps are alike."""
        x = codes.to(self.dtype)
        held = {INPUT: x.unsqueeze(0) if self.program.header.source.still else x}
        for op in self.program.header.operations:
            inputs = [held[source] for source in op.inputs]
            if isinstance(op, Lif):
                held[op.name] = self._scan(op, inputs[0])
            else:
                steps = max(len(each) for each in inputs)
                folded = [each.expand(steps, *each.shape[1:]).flatten(0, 1) for each in inputs]
                # cuDNN may choose Winograd, whose transforms round; the plain algorithm only adds.
                with torch.backends.cudnn.flags(enabled=False):
                    value = VALUES[op.kind](self, op, folded)
                held[op.name] = value.reshape(steps, -1, *value.shape[1:])
            yield op.name, held[op.name]

    def _scan(self, op: Lif, current: Tensor) -> Tensor:
        threshold = self.tensor(f"{op.name}.threshold")
        assert threshold is not None, "every neuron has one"
        neurons = Neurons(op, threshold.reshape(1, -1, *[1] * (current.ndim - 3)), *(self.tensor(f"{op.name}.{part}") for part in PARTS))
        v, synaptic = neurons.rest(current[0]), torch.zeros_like(current[0])
        emitted = []
        for t in range(self.program.header.time):
            z, v, synaptic = neurons.step(current[min(t, len(current) - 1)], v, synaptic)
            emitted.append(z if op.emits == "spikes" else v)
        return torch.stack(emitted)


PARTS = ("levels", "leaked")


class Neurons:
    """One layer of neurons; a codebook's membrane is held as its level, not as its index."""

    def __init__(self, op: Lif, threshold: Tensor, levels: Tensor | None, leaked: Tensor | None) -> None:
        self.op, self.threshold, self.levels, self.leaked = op, threshold, levels, leaked

    def rest(self, like: Tensor) -> Tensor:
        """The membrane before the first step."""
        v = torch.full_like(like, self.op.reset_value if self.op.reset == "value" else 0)
        return self._stored(v) if self.levels is not None else v

    def step(self, acc: Tensor, v: Tensor, synaptic: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spikes, membrane and synaptic current after one step."""
        op = self.op
        if op.synapse is not None:
            half = 1 << (op.synapse.bits - 1)
            acc = synaptic = fitted(leak(synaptic, op.synapse.leak) + acc, -half, half - 1, op.synapse.overflow)
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
            return z, self._stored(shifted(self._reset(u, z, scale), op.shift, op.rounding)), synaptic
        w = self._stored(shifted(u, op.shift, op.rounding))
        z = self._fires(u, self.threshold * scale) if op.compare_at == "full" else self._fires(w, self.threshold)
        w = self._reset(w, z, 1.0)
        return z, w if self.levels is None else self._stored(w), synaptic

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


def _conv2d(module: Simulation, op: Conv2d, x: list[Tensor]) -> Tensor:
    weight = module.tensor(f"{op.name}.weight")
    assert weight is not None, "every convolution has one"
    return functional.conv2d(x[0], weight, module.tensor(f"{op.name}.bias"), op.stride, op.padding, op.dilation, op.groups)


def _dense(module: Simulation, op: Dense, x: list[Tensor]) -> Tensor:
    weight = module.tensor(f"{op.name}.weight")
    assert weight is not None, "every dense layer has one"
    return functional.linear(x[0], weight, module.tensor(f"{op.name}.bias"))


def _sum_pool(module: Simulation, op: SumPool, x: list[Tensor]) -> Tensor:
    return functional.avg_pool2d(x[0], op.size, op.stride, divisor_override=1)


def _or_pool(module: Simulation, op: OrPool, x: list[Tensor]) -> Tensor:
    return functional.max_pool2d(x[0], op.size, op.stride)


VALUES: dict[str, Callable[[Simulation, Any, list[Tensor]], Tensor]] = {
    "dense": _dense,
    "conv2d": _conv2d,
    "sum_pool": _sum_pool,
    "or_pool": _or_pool,
    "add": lambda module, op, x: torch.stack(x).sum(0),
    "concat": lambda module, op, x: torch.cat(x, dim=1),
    "flatten": lambda module, op, x: x[0].flatten(1),
}
