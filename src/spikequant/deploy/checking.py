"""A network beside its program, spike by spike."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikequant.deploy.arithmetic import charged, compared, rest
from spikequant.deploy.machine import constants, encode, moments
from spikequant.deploy.operations import emitting
from spikequant.deploy.program import Program
from spikequant.deploy.simulation import Simulation
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network
from spikequant.models.layers import Encode
from spikequant.neurons import tap
from spikequant.neurons.showing import placed, watching

Integers = NDArray[np.int64]
Loader = Iterable[tuple[Tensor, Tensor]]


class Divergence(NamedTuple):
    """The first spike in which two forms differ: earliest step, then first layer. ``distance`` is the program's membrane less its
    threshold, in the units of what it compares; ``spikes`` is what the program gave there.
    """

    layer: str
    step: int
    image: int
    neuron: tuple[int, ...]
    distance: int
    spikes: int

    def __str__(self) -> str:
        """One sentence."""
        place = f"image {self.image}, neuron {self.neuron} of {self.layer} at step {self.step}"
        return f"{place}: the program gives {self.spikes}, {self.distance} from its threshold; the other does not"


class LayerCheck(NamedTuple):
    """One layer of neurons: spikes compared, spikes that differ, and the rates of its channels in both."""

    name: str
    spikes: int
    different: int
    program_rates: NDArray[np.float64]
    network_rates: NDArray[np.float64]


class Check(NamedTuple):
    """What a comparison found; accuracies are fractions."""

    images: int
    layers: tuple[LayerCheck, ...]
    first: Divergence | None
    program_accuracy: float
    network_accuracy: float

    @property
    def exact(self) -> bool:
        """Whether no spike differs."""
        return self.first is None


class Tally:
    """Counts of one layer, over batches."""

    def __init__(self, name: str) -> None:
        self.name, self.spikes, self.different, self.seen = name, 0, 0, 0
        self.rates: list[Tensor] = [torch.zeros(()), torch.zeros(())]

    def add(self, program: Tensor, network: Tensor) -> tuple[int, ...] | None:
        """Count a batch ``[time, batch, channel, *space]``; the place of the first spike that differs, None if none does.

        Raises:
            MismatchError: the two have not the same shape.
        """
        if program.shape != network.shape:
            raise MismatchError(f"{self.name}: the program gives {tuple(program.shape)} spikes, the network {tuple(network.shape)}")
        places = (program != network).nonzero()
        self.spikes, self.different = self.spikes + program.numel(), self.different + len(places)
        axes = [axis for axis in range(program.ndim) if axis != 2]
        self.rates = [so_far + each.double().sum(axes) for so_far, each in zip(self.rates, (program, network), strict=True)]
        self.seen += program.numel() // program.shape[2]
        return tuple(map(int, places[0])) if len(places) else None

    def result(self) -> LayerCheck:
        """What was counted."""
        program, network = ((each / self.seen).numpy() for each in self.rates)
        return LayerCheck(self.name, self.spikes, self.different, program, network)


def check(program: Program, network: Network, loader: Loader, batches: int | None = None) -> Check:
    """Run both on the same images and compare every spike of every layer and step.

    Raises:
        MismatchError: the network has other layers of neurons than the program, or the program does not take these images.
        SpecError: the network is none of ours, or the loader gave nothing, or no pairs.
    """
    refuse_foreign(network)
    if isinstance(loader, Tensor):
        raise SpecError("a loader gives pairs (x, y), got a tensor; pass a list of pairs")
    simulation, last = Simulation(program), program.header.operations[-1].name
    tallies = {name: Tally(name) for name in emitting(program.header.operations)}
    first, images, right = None, 0, [0, 0]
    with watching(network):
        for x, y in loader if batches is None else (batch for _, batch in zip(range(batches), loader, strict=False)):
            spikes, logits = _heard(network, x, tallies)
            codes = shown(program, network, x)
            values = dict(simulation.values(torch.from_numpy(codes), [*tallies, last]))
            places = {name: tally.add(values[name], spikes[name]) for name, tally in tallies.items()}
            if first is None and any(places.values()):
                first = first_divergence(program, codes, places, images)
            found = program.chosen(simulation.scores(values[last]).numpy()), logits.argmax(1).numpy()
            right = [so_far + int((each == y.cpu().numpy()).sum()) for so_far, each in zip(right, found, strict=True)]
            images += len(y)
    if not images:
        raise SpecError("the loader gave no sample to compare on; it must hold at least 1")
    return Check(images, tuple(each.result() for each in tallies.values()), first, right[0] / images, right[1] / images)


def refuse_foreign(network: object) -> None:
    """Programs are made of networks of ours, and held beside them.

    Raises:
        SpecError: this is another's.
    """
    if not isinstance(network, Network):
        kind = type(network).__name__
        raise SpecError(f"a program comes of a network of spikequant, got {kind}; spikequant.models.adopt makes one of another library's")


def shown(program: Program, network: Network, x: Tensor) -> Integers:
    """The codes of a batch, by the network's own encoding where it is one of events."""
    if program.header.source.still:
        return encode(program, x)
    layer = next(module for module in network.modules() if isinstance(module, Encode))
    return encode(program, layer(placed(network, x), program.header.time))


def _heard(network: Network, x: Tensor, layers: dict[str, Tally]) -> tuple[dict[str, Tensor], Tensor]:
    """The spikes of every layer of a network, run on its own device, and its logits.

    Raises:
        MismatchError: its layers of neurons are not the program's.
    """
    heard: dict[str, Tensor] = {}
    with tap(network, heard.__setitem__):
        logits: Tensor = network(placed(network, x))
    if heard.keys() != layers.keys():
        raise MismatchError(f"the program's neurons are {', '.join(layers)}, the network's {', '.join(heard)}: they must be the same")
    return {name: spikes.cpu() for name, spikes in heard.items()}, logits.cpu()


def first_divergence(program: Program, codes: Integers, places: dict[str, tuple[int, ...] | None], before: int = 0) -> Divergence:
    """The earliest of the first differing spikes ``(step, image, neuron...)`` of every layer, as the interpreter sees it."""
    neurons = emitting(program.header.operations)
    order = list(neurons)
    (step, layer), place = min(((place[0], order.index(name)), place) for name, place in places.items() if place is not None)
    name, op, image = order[layer], neurons[order[layer]], place[1]
    alone = codes[image : image + 1] if program.header.source.still else codes[:, image : image + 1]
    held, membrane = constants(program, op), None
    for t, moment in enumerate(moments(program, alone)):
        acc = moment.values[op.inputs[0]]
        if t == step:
            membrane = rest(op, acc, held) if membrane is None else membrane
            value, threshold = np.broadcast_arrays(*compared(op, charged(op, acc, membrane, held)[0], held))
            at = (0, *place[2:])
            spike = int(moment.values[name][at])
            return Divergence(name, step, before + image, place[2:], int(value[at] - threshold[at]), spike)
        membrane = moment.membranes[op.name]
    raise AssertionError("the step is one of the program's")
