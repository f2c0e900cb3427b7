"""A view run as its reader runs it: which spikes it gets wrong."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spikequant.deploy.machine import encode, moments
from spikequant.deploy.nir.view import Neurons, Parts, Reader, Synapses
from spikequant.deploy.operations import Conv2d, Lif, OrPool, SumPool
from spikequant.deploy.program import INPUT, Program


def differing(program: Program, parts: Parts, reader: Reader, images: Any) -> tuple[int, int]:
    """Spikes of all layers of neurons, and how many of them the view gets wrong."""
    found, spikes, different = shown(program, parts, reader, images), 0, 0
    for t, moment in enumerate(moments(program, encode(program, images))):
        for op in program.header.operations:
            if isinstance(op, Lif):
                spikes += moment.values[op.name].size
                different += int((found[op.name][t].numpy() != moment.values[op.name]).sum())
    return spikes, different


@torch.no_grad()
def shown(program: Program, parts: Parts, reader: Reader, images: Any) -> dict[str, Tensor]:
    """The values of every operation ``[time, batch, ...]``, as the reader computes them in float32."""
    codes = torch.from_numpy(encode(program, images)).float()
    still, steps = program.header.source.still, program.header.time
    held: dict[str, tuple[Tensor, Tensor]] = {}
    kept: dict[str, list[Tensor]] = {}
    for t in range(steps):
        values = {INPUT: codes if still else codes[t]}
        for op in program.header.operations:
            inputs = [values[name] for name in op.inputs]
            part = parts.get(op.name)
            x = _plain(op, inputs, part, reader)
            if isinstance(part, Neurons):
                x, held[op.name] = _step(part, x, held.get(op.name, (torch.zeros_like(x), torch.zeros_like(x))), reader)
            values[op.name] = x
            kept.setdefault(op.name, []).append(x)
    return {name: torch.stack(each) for name, each in kept.items()}


def _step(part: Neurons, x: Tensor, held: tuple[Tensor, Tensor], reader: Reader) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Spikes, and what is held after: the current, which is x where there is none of its own, and the membrane."""
    threshold, reset = (torch.from_numpy(np.array(each)).reshape(1, -1, *(1,) * (x.ndim - 2)) for each in (part.threshold, part.reset))
    current = x if part.current is None else part.current * held[0] + x
    v = part.decay * held[1] + part.gain * current
    fires = v >= threshold if reader.compare == ">=" else v > threshold
    return fires.float(), (current, torch.where(fires, reset.expand_as(v), v))


def _plain(op: Any, inputs: list[Tensor], part: object, reader: Reader) -> Tensor:
    x = inputs[0]
    if isinstance(part, Synapses):
        weight, bias = torch.from_numpy(part.weight), torch.from_numpy(part.bias)
        if isinstance(op, Conv2d):
            return functional.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
        return functional.linear(x, weight, bias)
    if isinstance(op, SumPool | OrPool):
        return functional.avg_pool2d(x, op.size, op.stride, divisor_override=None if reader.pool == "AvgPool2d" else 1)
    if op.kind == "add":
        return torch.stack(inputs).sum(0)
    return x.flatten(1) if op.kind == "flatten" else x
