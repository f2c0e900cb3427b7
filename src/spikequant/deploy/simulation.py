"""A program as a torch module: the same whole numbers, held in float32 where every sum stays below 2^24, else in float64."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikequant.deploy.bounds import FLOAT32, weights
from spikequant.deploy.lateral import DRAW_BITS, Delay, Inhibit, Winner
from spikequant.deploy.machine import refuse_shape
from spikequant.deploy.membranes import Neurons, State
from spikequant.deploy.operations import Conv2d, Dense, Lif, OrPool, SumPool
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
        widest = max(proof.widest.largest for proof in program.proofs.values())
        self.dtype, self.score_dtype = (self.dtype_of(each) for each in (widest, max(widest, program.reach_of_scores.largest)))
        for op in program.header.operations:
            if isinstance(op, Dense | Conv2d):
                self._hold(f"{op.name}.weight", weights(op, program.tensors) << op.shift)
                if op.bias:
                    self._hold(f"{op.name}.bias", program.tensors[f"{op.name}.bias"])
            if isinstance(op, Lif):
                for part in op.slots([program.shapes[op.name]]):
                    self._hold(f"{op.name}.{part}", program.tensors[f"{op.name}.{part}"])
            if isinstance(op, Winner):
                self._hold(f"{op.name}.draws", program.tensors[f"{op.name}.draws"])
        self.looks_back = any(isinstance(op, Delay) for op in program.header.operations)

    @staticmethod
    def dtype_of(largest: int) -> torch.dtype:
        """The float type that holds every whole number up to this magnitude."""
        return torch.float32 if largest < FLOAT32 else torch.float64

    def _hold(self, name: str, value: NDArray[np.int64]) -> None:
        self.register_buffer(name.replace(".", "__"), torch.tensor(value, dtype=self.dtype))

    def tensor(self, name: str) -> Tensor | None:
        """A tensor of the program, None where it has none of this name."""
        return getattr(self, name.replace(".", "__"), None)

    @torch.no_grad()
    def forward(self, codes: Tensor) -> Tensor:
        """Scores ``[batch, class]``; see ``Header.readout``.

        Raises:
            MismatchError: codes of another shape than the program's.
        """
        ((_, last),) = self.values(codes, [self.program.header.operations[-1].name])
        return self.scores(last)

    def scores(self, last: Tensor) -> Tensor:
        """What the readout makes of the last operation's value ``[time, batch, ...]``."""
        last = last.expand(self.program.header.time, *last.shape[1:]).flatten(2)
        if self.program.header.readout == "sum":
            return last.sum(0, dtype=self.score_dtype)
        if self.program.header.readout == "last":
            return last[-1]
        fired = last > 0
        never = torch.full_like(last[0], len(last))
        return torch.where(fired.any(0), fired.to(torch.uint8).argmax(0).to(last.dtype), never)

    @torch.no_grad()
    def values(self, codes: Tensor, wanted: Collection[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Every value ``[time, batch, ...]`` by the name of its operation, or those ``wanted``; time 1 where all steps are alike.

        Raises:
            MismatchError: codes of another shape than the program's.
        """
        refuse_shape(self.program, codes.shape)
        x = codes.to(self.dtype)
        names = [op.name for op in self.program.header.operations if wanted is None or op.name in wanted]
        if self.looks_back:
            moments = [[now[name] for name in names] for now in self._steps(x)]
            for name, each in zip(names, zip(*moments, strict=True), strict=True):
                yield name, torch.stack(each)
            return
        held = {INPUT: x.unsqueeze(0) if self.program.header.source.still else x}
        for op in self.program.header.operations:
            inputs = [held[source] for source in op.inputs]
            if isinstance(op, Lif):
                held[op.name] = self._scan(op, inputs[0])
            elif isinstance(op, Winner):
                shown = inputs[0].expand(self.program.header.time, *inputs[0].shape[1:])
                held[op.name] = torch.stack([self._won(op, each, t) for t, each in enumerate(shown)])
            else:
                steps = max(len(each) for each in inputs)
                folded = [each.expand(steps, *each.shape[1:]).flatten(0, 1) for each in inputs]
                value = self._plain(op, folded)
                held[op.name] = value.reshape(steps, -1, *value.shape[1:])
            if op.name in names:
                yield op.name, held[op.name]

    def _steps(self, x: Tensor) -> Iterator[dict[str, Tensor]]:
        """All values step by step, as a program that looks back needs them."""
        still, before, states = self.program.header.source.still, dict[str, Tensor](), dict[str, State]()
        neurons = {op.name: self._neurons(op) for op in self.program.header.operations if isinstance(op, Lif)}
        for t in range(self.program.header.time):
            now = {INPUT: x if still else x[t]}
            for op in self.program.header.operations:
                if isinstance(op, Delay):
                    now[op.name] = before.get(op.inputs[0], x.new_zeros(len(now[INPUT]), *op.shape))
                    continue
                inputs = [now[source] for source in op.inputs]
                if isinstance(op, Lif):
                    layer = neurons[op.name]
                    z, states[op.name] = layer.step(inputs[0], states.get(op.name) or layer.rest(inputs[0]))
                    now[op.name] = z if op.emits == "spikes" else states[op.name].v
                else:
                    now[op.name] = self._won(op, inputs[0], t) if isinstance(op, Winner) else self._plain(op, inputs)
            before = now
            yield now

    def _plain(self, op: Any, inputs: list[Tensor]) -> Tensor:
        # cuDNN may choose Winograd, whose transforms round; the plain algorithm only adds. Autocast rounds whatever needs more than 8 bits.
        with torch.backends.cudnn.flags(enabled=False), torch.autocast(inputs[0].device.type, enabled=False):
            return VALUES[op.kind](self, op, inputs)

    def _won(self, op: Winner, x: Tensor, t: int) -> Tensor:
        """See ``machine.won``."""
        draws, active = self.tensor(f"{op.name}.draws"), x > 0
        assert draws is not None, "every winner has them"
        chosen = torch.floor(draws[t % op.draws] * active.sum(1, keepdim=True) * 2.0**-DRAW_BITS)
        return x * (active & (active.cumsum(1) - 1 == chosen))

    def _neurons(self, op: Lif) -> Neurons:
        threshold, space = self.tensor(f"{op.name}.threshold"), len(self.program.shapes[op.name]) - 1
        assert threshold is not None, "every neuron has one"
        return Neurons(op, threshold.reshape(1, -1, *[1] * space), *(self.tensor(f"{op.name}.{part}") for part in PARTS))

    def _scan(self, op: Lif, current: Tensor) -> Tensor:
        neurons = self._neurons(op)
        state, emitted = neurons.rest(current[0]), []
        for t in range(self.program.header.time):
            z, state = neurons.step(current[min(t, len(current) - 1)], state)
            emitted.append(z if op.emits == "spikes" else state.v)
        return torch.stack(emitted)


PARTS = ("levels", "leaked")


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


def _inhibit(module: Simulation, op: Inhibit, x: list[Tensor]) -> Tensor:
    return -op.strength * (x[0].sum(dim=tuple(range(1, x[0].ndim)), keepdim=True) - x[0])


VALUES: dict[str, Callable[[Simulation, Any, list[Tensor]], Tensor]] = {
    "dense": _dense,
    "conv2d": _conv2d,
    "sum_pool": _sum_pool,
    "or_pool": _or_pool,
    "add": lambda module, op, x: torch.stack(x).sum(0),
    "concat": lambda module, op, x: torch.cat(x, dim=1),
    "flatten": lambda module, op, x: x[0].flatten(1),
    "inhibit": _inhibit,
}
