"""SEW-ResNet for 32x32 images: residual blocks that add spikes to whole numbers."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from spikequant.errors import SpecError
from spikequant.models.network import Network
from spikequant.models.wiring import INPUT, Args, Node, Wiring, firing_kind

LIF: Args = {"tau": 2.0, "threshold": 1.0, "reset": "value", "detach_reset": True, "surrogate": "arctan", "slope": 2.0}
Neuron = tuple[str, Args]


class Block(NamedTuple):
    """One residual block: its place from 1, its channels before and after, its stride."""

    place: int
    before: int
    after: int
    stride: int

    @property
    def name(self) -> str:
        """What the names of its nodes begin with."""
        return f"block{self.place}"


def sew_resnet(
    blocks: tuple[int, ...] = (3, 3, 3),
    classes: int = 10,
    width: int = 64,
    time: int = 4,
    lif: Args | None = None,
    name: str = "sew-resnet",
) -> Wiring:
    """SEW-ResNet with ``blocks`` per stage; each stage after the first doubles the channels and halves the image.

    Equation of a block: ``LIF(BN(conv(LIF(BN(conv(x)))))) + x``, ``x`` through ``LIF(BN(conv1x1(x)))`` where its shape changes;
    sums are whole numbers, not spikes. The stem ``LIF(BN(conv(image)))`` sees the image itself and its current is computed once.
    The depth is ``2 + 2 sum(blocks)``. ``lif`` replaces arguments of the neurons: tau 2, threshold 1, hard reset to 0, detached,
    arctan surrogate of slope 2; its ``neuron`` another kind of node in their place, as ``trained_threshold``, or ``activation``
    with ``time`` 1 for the same topology without membranes.

    Raises:
        SpecError: there is no block.

    Source: W. Fang et al., "Deep residual learning in spiking neural networks", 2021, ADD; "Beyond Accuracy", section 3.1. The stem
    without max pool and the widths are the habit for CIFAR: the paper gives neither.

    >>> len(sew_resnet().of_kind("conv2d", "linear")) - 2  # 20 layers, and the shortcuts of 2 stages
    20
    """
    if not blocks or min(blocks) < 1:
        raise SpecError(f"blocks must be at least 1 in at least 1 stage, got {blocks}; nearest valid value: (1,)")
    neuron = firing_kind(LIF, lif)
    nodes = [
        Node(name="encode", kind="encode", inputs=(INPUT,), args={"encoding": "direct"}),
        *_spiking("stem", "encode", 3, width, neuron),
    ]
    for block in _blocks(blocks, width):
        nodes += _block(block, nodes[-1].name, neuron)
    last = width * 2 ** (len(blocks) - 1)
    nodes += [
        Node(name="pool", kind="average_pool", inputs=(nodes[-1].name,), args={"output_size": 1}),
        Node(name="flatten", kind="flatten", inputs=("pool",)),
        Node(name="readout", kind="linear", inputs=("flatten",), args={"in_features": last, "out_features": classes}),
    ]
    return Wiring(name=name, time=time, input_shape=(3, 32, 32), readout="mean", nodes=tuple(nodes))


def sew_resnet8(classes: int = 10, width: int = 64, time: int = 4, lif: Args | None = None) -> Wiring:
    """Three stages of one block; ``width`` 16 gives the classic 16/32/64. See ``sew_resnet``.

    >>> len(sew_resnet8().of_kind("lif"))
    9
    """
    return sew_resnet((1, 1, 1), classes, width, time, lif, "sew-resnet8")


def sew_resnet18(classes: int = 10, width: int = 64, time: int = 4, lif: Args | None = None) -> Wiring:
    """Four stages of two blocks, 64 to 512 channels. See ``sew_resnet``.

    >>> len(sew_resnet18().of_kind("lif"))
    20
    """
    return sew_resnet((2, 2, 2, 2), classes, width, time, lif, "sew-resnet18")


def initialize(network: Network) -> None:
    """Draw convolutions as SEW-ResNet's authors do: normal, of variance ``2 / (channels * kernel)`` by the channels that they give."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))


def _blocks(blocks: tuple[int, ...], width: int) -> Iterator[Block]:
    place, before = 1, width
    for stage, count in enumerate(blocks):
        after = width * 2**stage
        for position in range(count):
            yield Block(place, before, after, 2 if stage and position == 0 else 1)
            place, before = place + 1, after


def _block(block: Block, source: str, neuron: Neuron) -> list[Node]:
    """The shortcut comes first, so that the second neuron is followed by the sum that alone reads it."""
    name, before, after, stride = block.name, block.before, block.after, block.stride
    shortcut, nodes = source, list[Node]()
    if (before, stride) != (after, 1):
        shortcut = f"{name}_short_lif"
        nodes += _spiking(f"{name}_short", source, before, after, neuron, kernel=1, stride=stride)
    nodes += _spiking(f"{name}_first", source, before, after, neuron, stride=stride)
    nodes += _spiking(f"{name}_second", f"{name}_first_lif", after, after, neuron)
    return [*nodes, Node(name=f"{name}_add", kind="add", inputs=(f"{name}_second_lif", shortcut))]


def _spiking(name: str, source: str, before: int, after: int, neuron: Neuron, *, kernel: int = 3, stride: int = 1) -> list[Node]:
    """Convolution, batch norm, neuron; the image keeps its size, or is halved by the stride."""
    shape: Args = {"in_channels": before, "out_channels": after, "kernel_size": kernel, "stride": stride, "padding": kernel // 2}
    return [
        Node(name=f"{name}_conv", kind="conv2d", inputs=(source,), args={**shape, "bias": False}),
        Node(name=f"{name}_norm", kind="batch_norm", inputs=(f"{name}_conv",), args={"channels": after}),
        Node(name=f"{name}_lif", kind=neuron[0], inputs=(f"{name}_norm",), args=neuron[1]),
    ]
