"""The supervised network of Q-SpiNN: DECOLLE's three convolutions with fixed random readouts (Kaiser, Mostafa, Neftci 2020)."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models.network import Network
from spikequant.models.wiring import Args, Wiring, chain

SPREAD = 2.0  # of the readouts: evenly in +-2 / sqrt(inputs)
POOLS = (2, 1, 2)


def decolle(
    shape: Sequence[int] = (2, 32, 32),
    classes: int = 11,
    channels: Sequence[int] = (64, 128, 128),
    time: int = 1800,
    decays: Sequence[float] = (0.97, 0.92, 0.65),
    scaling: str = "normalized",
) -> Wiring:
    """Event frames through three times traces, convolution 7x7, membrane and max pool (2, 1, 2); then a fixed random readout.

    ``decays``: alpha of P, beta of Q, gamma of R, for steps of 1 ms.
    The answer is the class that is first in most steps. The readouts of the first two layers serve training
    alone, which draws them from its seed; "one FC" of Q-SpiNN's figure is that of the last layer.

    Raises:
        SpecError: not three sizes, channels or decays, or an image of which the pools leave nothing.

    Source: DECOLLE's code for DVS Gesture; Q-SpiNN, section II-A and Fig. 4.

    >>> [node.kind for node in decolle().nodes][:5]
    ['encode', 'traces', 'conv2d', 'refraining', 'max_pool']
    """
    for option, found, said in (
        ("shape", shape, "channels, height and width"),
        ("channels", channels, "3 layers"),
        ("decays", decays, "alpha, beta and gamma"),
    ):
        if len(found) != 3:
            raise SpecError(f"{option} must be 3 numbers, {said}, got {found}")
    if min(shape[1:]) < prod(POOLS):
        raise SpecError(f"height and width of shape must be at least {prod(POOLS)}, of which the pools leave 1, got {shape}")
    alpha, beta, gamma = decays
    depth, height, width = shape
    steps: list[tuple[str, str, Args]] = [("encode", "encode", {"encoding": "events"})]
    for index, (count, pool) in enumerate(zip(channels, POOLS, strict=True), start=1):
        steps += [
            (f"traces{index}", "traces", {"alpha": alpha, "beta": beta, "scaling": scaling}),
            (f"conv{index}", "conv2d", {"in_channels": depth, "out_channels": count, "kernel_size": 7, "padding": 3}),
            (f"neurons{index}", "refraining", {"gamma": gamma, "scaling": scaling}),
        ]
        steps += [(f"pool{index}", "max_pool", {"kernel_size": pool})] if pool > 1 else []
        depth, height, width = count, height // pool, width // pool
    steps += [("flatten", "flatten", {})]
    steps += [("readout", "linear", {"in_features": depth * height * width, "out_features": classes})]
    return Wiring(name="decolle", time=time, input_shape=tuple(shape), readout="votes", nodes=chain(*steps))


def initialize(network: Network) -> None:
    """The readout, which is never trained, drawn as DECOLLE does; convolutions as torch draws them, until training settles them."""
    readout = network.get_submodule("readout")
    assert isinstance(readout, nn.Linear)
    draw_readout(readout)


@torch.no_grad()
def draw_readout(readout: nn.Linear, generator: torch.Generator | None = None) -> None:
    """Weights and biases drawn evenly in ``+-2 / sqrt(inputs)``."""
    reach = SPREAD / sqrt(readout.in_features)
    for tensor in (readout.weight, readout.bias):
        tensor.uniform_(-reach, reach, generator=generator)
        tensor.requires_grad_(False)
