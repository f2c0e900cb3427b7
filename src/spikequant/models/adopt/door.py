"""adopt: a foreign network, or a NIR graph, as a network of ours."""

import functools
import keyword
import re
from collections.abc import Container, Sequence
from typing import Any, Literal

import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models.adopt.described import Described, flattening, refuse, stateless
from spikequant.models.adopt.graphs import from_nir
from spikequant.models.adopt.neurons import neuron
from spikequant.models.adopt.traced import GIVEN, Call, calls
from spikequant.models.network import Network
from spikequant.models.wiring import INPUT, Node, Wiring
from spikequant.neurons import guests, library, runs_steps

LONGEST = 64  # letters of a node's name


def adopt(
    network: Any,
    input_shape: Sequence[int] | None = None,
    *,
    time: int,
    still: bool = True,
    readout: Literal["count", "mean"] = "count",
    surrogate: str | None = None,
    dt: float = 1e-4,
) -> Network:
    """A network of snnTorch, SpikingJelly or Norse, sequential or residual, or a NIR graph, as a wiring of ours with its weights.

    ``input_shape`` is one sample, without time and batch (a NIR graph has its own). ``still``: an image is shown for ``time``
    steps; otherwise inputs come as ``[time, batch, ...]``. What the guest computes in a step, our network gives in
    ``steps(x)``; ``readout`` says what becomes of them. ``dt`` is the step of a NIR graph, in seconds. ``surrogate`` replaces
    one that has no equal here. Spikes equal the guest's in evaluation; in training, batch norm of a guest that runs step by
    step takes its statistics per step, ours over time and batch.

    Raises:
        SpecError: something in it has no exact equal here; the message says where and why.
        MismatchError: a layer cannot take what ``input_shape`` comes to before it.

    >>> adopt(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), time=3).wiring.nodes[-1].kind
    'linear'
    """
    if type(network).__module__.partition(".")[0] == "nir":
        described, shape = from_nir(network, dt)
    elif not isinstance(network, nn.Module):
        raise SpecError(f"adopt takes a torch module or a nir.NIRGraph, got {network!r}; nir.read reads the graph of a file")
    elif isinstance(input_shape, Sequence):
        described, shape = _described(network, surrogate, len(input_shape)), tuple(input_shape)
    else:
        raise SpecError(f"adopt needs input_shape: one sample's shape, without time and batch, such as (1, 28, 28); got {input_shape!r}")
    encode = Node(name="encode", kind="encode", inputs=(INPUT,), args={"encoding": "direct" if still else "events"})
    title = re.sub(r"\W+", "-", type(network).__name__).lower()
    wired = functools.partial(Wiring, name=title, time=time, input_shape=shape, readout=readout)
    names = _names([call.name for call, _ in described], {INPUT, *keyword.kwlist, *dir(Network(wired(nodes=(encode,))))})
    adopted = _filled(Network(wired(nodes=(encode, *_nodes(described, names)))), described, names)
    adopted.shapes()  # refuses what cannot take the value before it
    return adopted


Found = list[tuple[Call, Described | None]]


def _described(network: nn.Module, surrogate: str | None, axes: int) -> Found:
    sequence = any(not runs_steps(each) for each in guests(network).values())
    found, axes_of = list[tuple[Call, Described | None]](), {GIVEN: axes}
    does: Described | None
    for call in calls(network):
        kept = axes_of[call.inputs[0]]
        if isinstance(call.does, str):
            kind, *joined = call.does.split()
            does = flattening(call.name, int(joined[0]), int(joined[1]), sequence) if joined else Described(kind, {}, {})
        else:
            guest = library(call.does)
            does = neuron(call.name, call.does, surrogate, kept) if guest else stateless(call.name, call.does, sequence)
        axes_of[call.name] = 1 if does is not None and does.kind == "flatten" else kept
        found.append((call, does))
    return found


def _names(theirs: list[str], taken: Container[str]) -> dict[str, str]:
    """Names that a wiring may have: at most 64 small letters, digits and underscores, none of those taken."""
    names = {GIVEN: "encode"}
    for name in theirs:
        plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        plain = plain if plain[:1].isalpha() else f"layer_{plain}"
        longer = (plain[: LONGEST - more] + "_" * more for more in range(LONGEST))
        names[name] = next(each for each in longer if each not in taken and each not in names.values())
    return names


def _nodes(described: Found, names: dict[str, str]) -> list[Node]:
    nodes = []
    for call, found in described:
        if found is None:  # it does nothing: those who read it read its source
            names[call.name] = names[call.inputs[0]]
            continue
        inputs = tuple(names[source] for source in call.inputs)
        nodes.append(Node(name=names[call.name], kind=found.kind, inputs=inputs, args=found.args))
    if not nodes:
        raise refuse("the network", "forward", "it holds no layer")
    return nodes


@torch.no_grad()
def _filled(network: Network, described: Found, names: dict[str, str]) -> Network:
    for call, found in described:
        if found is not None and found.tensors:
            own = network.get_submodule(names[call.name]).state_dict()
            for name, tensor in found.tensors.items():
                own[name].copy_(tensor)
    return network
