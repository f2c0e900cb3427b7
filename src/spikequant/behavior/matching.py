"""Which layer of one network answers which layer of another."""

from collections.abc import Mapping

from torch import nn

from spikequant.behavior.firing import Firing
from spikequant.errors import MismatchError
from spikequant.neurons import observable


def match(reference: nn.Module, network: nn.Module, place: str = "the network") -> dict[str, str]:
    """For each spiking layer of the reference the layer that answers it: by name where all names agree, else by order.

    Raises:
        MismatchError: the names differ and so do the numbers of layers.

    >>> from spikequant.neurons import IF
    >>> match(nn.Sequential(IF(), IF()), nn.Sequential(nn.Flatten(2), IF(), IF()))
    {'0': '1', '1': '2'}
    """
    ours, theirs = list(observable(reference)), list(observable(network))
    if set(ours) == set(theirs):
        return dict(zip(ours, ours, strict=True))
    if len(ours) != len(theirs):
        alone = sorted(set(ours) ^ set(theirs))
        raise MismatchError(
            f"{place} has {len(theirs)} spiking layers, the reference {len(ours)}, and they differ in {', '.join(alone)}: "
            "layers are matched by name, or by order where there are as many"
        )
    return dict(zip(ours, theirs, strict=True))


def ordered(firing: Firing, pairs: Mapping[str, str]) -> Firing:
    """A network's firing with its layers in the order of the reference."""
    layers = {layer.name: layer for layer in firing.layers}
    return Firing(tuple(layers[name] for name in pairs.values()), firing.images, firing.pooled)


def check_twin(reference: Firing, twin: Firing, place: str) -> None:
    """Float twins have the reference's architecture.

    Raises:
        MismatchError: a layer has another number of channels.
    """
    for ours, theirs in zip(reference.layers, twin.layers, strict=True):
        if ours.channels != theirs.channels:
            raise MismatchError(
                f"{place} has {theirs.channels} channels in layer {theirs.name!r}, the reference {ours.channels}: "
                "a twin has the reference's architecture and another seed"
            )
