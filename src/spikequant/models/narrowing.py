"""Channels taken out of a network: a smaller wiring, and the weights that remain."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from spikequant.errors import SpecError, unknown
from spikequant.models.network import Network
from spikequant.models.wiring import NEURONS, Node, Wiring

PASSING = ("max_pool", "mean_pool", "average_pool", "sum_pool", "dropout", "flatten")
SYNAPSES = ("conv2d", "linear")


class Coupling(NamedTuple):
    """What loses a channel together: the layer before a neuron, its batch norm, if any, and the layers that read the neuron."""

    layer: str
    norm: str | None
    readers: tuple[str, ...]


def couplings(wiring: Wiring) -> dict[str, Coupling]:
    """The neurons that can lose channels, with what loses them too.

    That is where one layer feeds the neuron and only layers read it: a residual sum ties the channels of all that it adds, and a
    recurrence those of its neuron.

    >>> from spikequant.models.sew import sew_resnet8
    >>> couplings(sew_resnet8())["block1_first_lif"].readers
    ('block1_second_conv',)
    >>> len(couplings(sew_resnet8()))
    3
    """
    nodes = {node.name: node for node in wiring.nodes}
    reading: dict[str, list[Node]] = {}
    for node in wiring.nodes:
        for source in node.inputs:
            reading.setdefault(source, []).append(node)
    found = {}
    for node in wiring.of_kind(*NEURONS):
        before, after = _before(node, nodes, reading), _after(node, reading)
        if before is not None and after and not any(isinstance(value, list | dict) for value in node.args.values()):
            found[node.name] = Coupling(*before, tuple(after))
    return found


def narrowed(model: Network, kept: Mapping[str, Tensor]) -> Network:
    """A float network with only these channels of these neurons, ascending; what remains has the weights that it had.

    Raises:
        SpecError: a neuron cannot lose channels, would lose all, or the network is quantized.

    >>> import torch
    >>> from spikequant.models import build
    >>> narrowed(build("digits"), {"lif1": torch.tensor([0, 5])}).conv2.weight.shape
    torch.Size([32, 2, 3, 3])
    """
    if model.recipe is not None:
        raise SpecError("channels are taken out of a float network: prune first, then quantize")
    tied = couplings(model.wiring)
    state, args = dict(model.state_dict()), {node.name: dict(node.args) for node in model.wiring.nodes}
    for name, channels in kept.items():
        if name not in tied:
            raise SpecError(unknown("neuron", name, tied, "channels to take out"))
        if not len(channels):
            raise SpecError(f"{name} would lose all its channels; keep at least 1")
        _narrow(state, args, tied[name], channels)
    nodes = tuple(node.model_copy(update={"args": args[node.name]}) for node in model.wiring.nodes)
    smaller = Network(model.wiring.model_copy(update={"nodes": nodes}))
    smaller.load_state_dict(state)
    return smaller.to(next(iter(state.values())).device).train(model.training)


def _narrow(state: dict[str, Tensor], args: dict[str, dict[str, Any]], tied: Coupling, channels: Tensor) -> None:
    before = len(state[f"{tied.layer}.weight"])
    for owner in (tied.layer, tied.norm):
        for name in [name for name in state if owner is not None and name.rpartition(".")[0] == owner and state[name].ndim]:
            state[name] = state[name][channels]
    outputs = "out_channels" if "out_channels" in args[tied.layer] else "out_features"
    args[tied.layer][outputs] = len(channels)
    if tied.norm is not None:
        args[tied.norm]["channels"] = len(channels)
    for reader in tied.readers:
        weight = state[f"{reader}.weight"]
        each = weight.shape[1] // before  # positions of a channel, where an image was flattened
        grouped = weight.reshape(len(weight), before, each, *weight.shape[2:])[:, channels]
        state[f"{reader}.weight"] = grouped.flatten(1, 2)
        args[reader]["in_channels" if "in_channels" in args[reader] else "in_features"] = each * len(channels)


def _before(node: Node, nodes: dict[str, Node], reading: dict[str, list[Node]]) -> tuple[str, str | None] | None:
    norm, at = None, nodes.get(node.inputs[0])
    while at is not None and len(reading[at.name]) == 1:
        if at.kind in SYNAPSES:
            return (at.name, norm) if at.args.get("groups", 1) == 1 else None
        if at.kind == "batch_norm" and norm is None:
            norm = at.name
        elif at.kind not in ("max_pool", "dropout"):
            return None
        at = nodes.get(at.inputs[0])
    return None


def _after(node: Node, reading: dict[str, list[Node]]) -> list[str] | None:
    """The layers that read a neuron, through pools and the like; None where anything else does, or nothing."""
    found: list[str] = []
    for reader in reading.get(node.name, []):
        if reader.kind in SYNAPSES and reader.args.get("groups", 1) == 1:
            found.append(reader.name)
        elif reader.kind in PASSING and (further := _after(reader, reading)):
            found += further
        else:
            return None
    return found or None
