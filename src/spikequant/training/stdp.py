"""Learning without labels: images shown one after another to neurons that compete."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from spikequant.behavior.recorder import pairs
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network
from spikequant.models.layers import Vote
from spikequant.neurons import Competing, HoldsGrid
from spikequant.numerics import Format, Formats, Learned, Plasticity, Shown, Stream, present
from spikequant.quantizers import Quantizer
from spikequant.recipes import original
from spikequant.training.outputs import Loader
from spikequant.training.plasticity import Holding, Stdp

EVALUATION = 2**40  # images shown outside of training draw noise of their own


class Parts(NamedTuple):
    """The parts of a network that learns by STDP."""

    scale: float
    synapses: nn.Module
    neurons: Competing
    vote: Vote


@dataclass(frozen=True)
class Showing:
    """Images were shown: how many so far, and the mean number of spikes that one of the last ones drew."""

    images: int
    total_images: int | None
    epoch: int
    spikes: float
    examples_per_s: float


def parts(network: Network) -> Parts:
    """Encoding, synapses, neurons and vote of a network of one competing layer.

    Raises:
        MismatchError: the network is built otherwise.
    """
    kinds = [node.kind for node in network.wiring.nodes]
    if kinds != ["encode", "flatten", "linear", "competing", "vote"]:
        raise MismatchError(f"STDP trains networks like stdp-net, of one competing layer; {network.wiring.name} has {', '.join(kinds)}")
    encode, _, synapses, neurons, vote = (network.get_submodule(node.name) for node in network.wiring.nodes)
    if not isinstance(neurons, Competing):
        raise MismatchError(f"{network.wiring.name}: its competing layer is {type(neurons).__name__}")
    return Parts(float(getattr(encode, "scale", 1.0)), synapses, neurons, cast(Vote, vote))


def learn(network: Network, loader: Loader, stdp: Stdp) -> Iterator[Showing]:
    """Train by STDP in place, one batch of the loader after another; labels are not looked at.

    Images are shown in the loader's order; the batch is only how often an event comes. A quantized network learns with its grids as
    ``stdp.holding`` says. Deterministic given ``stdp.seed``.

    Raises:
        MismatchError: a network of another kind.
        SpecError: grids that are not fixed point of a fixed range, or a loader that gave nothing.
    """
    seen, total = 0, _images(loader, stdp)
    for epoch in range(stdp.epochs):
        begun, before = time.perf_counter(), seen
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        for x, _ in pairs(loader, labels=False):
            counts = shown(network, x, stdp, Stream(network.wiring.time, stdp.seed, seen)).counts
            seen += len(x)
            speed = (seen - before) / (time.perf_counter() - begun)
            yield Showing(seen, total, epoch + 1, float(counts.sum(1).float().mean()), speed)
        if seen == before:
            raise SpecError(f"the loader gave no image in epoch {epoch + 1}; it must be iterable anew for every epoch")
    network.eval()


@torch.no_grad()
def shown(network: Network, x: Tensor, stdp: Stdp, stream: Stream, watch: bool = False) -> Shown:
    """Show images ``[image, ...]`` to a network that learns, in place."""
    found = parts(network)
    weight = original(found.synapses, "weight")
    if weight is None:
        raise MismatchError(f"{network.wiring.name} has no synapses")
    inputs = weight.shape[1]
    total = 0.1 * inputs if stdp.total is None else stdp.total
    rule = Plasticity(stdp.pre, stdp.post, stdp.low, stdp.high, total, math.exp(-1 / stdp.trace_ms))
    learned = Learned(weight.t().contiguous(), found.neurons.adapted)
    answer = present(_chances(x, found.scale), learned, found.neurons.settings, rule, formats(found, stdp.holding), stream, watch)
    weight.copy_(answer.learned.weight.t())
    found.neurons.adapted.copy_(answer.learned.theta)
    return answer


@torch.no_grad()
def respond(network: Network, x: Tensor, seed: int = 0, first: int = 0) -> Tensor:
    """The spikes of each neuron, ``[image, neuron]``, of a network that no longer learns; the event-driven way to evaluate it.

    The network's own forward computes the same of other Poisson spikes. ``first`` names the first image: images of another place in
    the data set draw other spikes.
    """
    found = parts(network)
    weight = original(found.synapses, "weight")
    if weight is None:
        raise MismatchError(f"{network.wiring.name} has no synapses")
    learned = Learned(weight.t().contiguous(), found.neurons.adapted)
    stream = Stream(network.wiring.time, seed, EVALUATION // network.wiring.time + first)
    return present(_chances(x, found.scale), learned, found.neurons.settings, None, formats(found), stream).counts


def responses(network: Network, loader: Iterable[tuple[Tensor, Tensor]], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Spikes ``[image, neuron]`` and labels ``[image]`` of all images of a loader."""
    counts, labels, first = [], [], 0
    for x, y in pairs(loader):
        counts.append(respond(network, x, seed, first))
        labels.append(y)
        first += len(y)
    if not counts:
        raise SpecError("the loader gave no image")
    return torch.cat(counts), torch.cat(labels)


def formats(found: Parts, holding: Holding = "on_change") -> Formats:
    """The grids of weights, membrane and threshold, as the network's quantizers hold them.

    Raises:
        SpecError: a grid that is not fixed point of a fixed range.
    """
    held = getattr(found.synapses, "parametrizations", {})
    weight = held["weight"][0] if "weight" in held else None
    grids = [_format(each) for each in (weight, found.neurons.state, found.neurons.threshold_state)]
    return Formats(grids[0], grids[1], grids[2], holding)


def refuse_format(spec: object) -> None:
    """Refuse what is no fixed point.

    Raises:
        SpecError: names its kind.
    """
    kind = getattr(spec, "kind", type(spec).__name__)
    if kind != "fixed_point":
        raise SpecError(f"STDP takes fixed-point grids for weights, membrane and threshold, got {kind}")


def _format(held: HoldsGrid | None) -> Format | None:
    if held is None:
        return None
    refuse_format(held.spec if isinstance(held, Quantizer) else held)
    return Format(held.grid(), held.rounding_rule)  # type: ignore[arg-type]


def _chances(x: Tensor, scale: float) -> Tensor:
    return x.flatten(1).float() * scale


def _images(loader: Loader, stdp: Stdp) -> int | None:
    split = getattr(loader, "split", None)
    return None if split is None else len(split.y) * stdp.epochs
