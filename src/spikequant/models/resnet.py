"""ResNet for 32x32 images without membranes: what binary networks are trained on."""

from collections.abc import Iterator
from typing import Literal

from spikequant.errors import SpecError
from spikequant.models.wiring import INPUT, Args, Node, Wiring

Shape = Literal["relu", "clip"]
EXPANSION = 4  # of a bottleneck


def resnet(
    blocks: tuple[int, ...],
    classes: int = 10,
    width: int = 64,
    activation: Shape = "relu",
    bottleneck: bool = False,
    name: str = "resnet",
) -> Wiring:
    """A residual network of ``blocks`` per stage; each stage after the first doubles the channels and halves the image.

    Equation of a block: ``act(BN(conv(act(BN(conv(x))))) + x)``, ``x`` through ``BN(conv1x1(x))`` where its shape changes; a bottleneck
    has three convolutions, 1x1, 3x3 and 1x1 to four times the channels. Runs one time step: it is no spiking network.

    Raises:
        SpecError: there is no block.

    Source: K. He et al., "Deep residual learning for image recognition", 2016; the stem for 32x32 images is one 3x3 convolution.

    >>> len(resnet((3, 3, 3), width=16).of_kind("conv2d", "linear")) - 2  # 20 layers, and 2 shortcuts
    20
    """
    if not blocks or min(blocks) < 1:
        raise SpecError(f"blocks must be at least 1 in at least 1 stage, got {blocks}; nearest valid value: (1,)")
    nodes = [Node(name="encode", kind="encode", inputs=(INPUT,), args={"encoding": "direct"}), *_norm("stem", "encode", 3, width, 3, 1)]
    nodes.append(_act("stem", nodes[-1].name, activation))
    channels, place = width, 0
    for stage, count in enumerate(blocks):
        for position in range(count):
            place += 1
            inner = width * 2**stage
            stride = 2 if stage and position == 0 else 1
            nodes += _block(f"block{place}", nodes[-1].name, (channels, inner, stride), activation, bottleneck)
            channels = inner * (EXPANSION if bottleneck else 1)
    nodes += [
        Node(name="pool", kind="average_pool", inputs=(nodes[-1].name,), args={"output_size": 1}),
        Node(name="flatten", kind="flatten", inputs=("pool",)),
        Node(name="readout", kind="linear", inputs=("flatten",), args={"in_features": channels, "out_features": classes}),
    ]
    return Wiring(name=name, time=1, input_shape=(3, 32, 32), readout="mean", nodes=tuple(nodes))


def resnet8(classes: int = 10, width: int = 16, activation: Shape = "relu") -> Wiring:
    """Three stages of one block, 16/32/64 channels. See ``resnet``."""
    return resnet((1, 1, 1), classes, width, activation, name="resnet8")


def resnet20(classes: int = 10, width: int = 16, activation: Shape = "relu") -> Wiring:
    """Three stages of three blocks, 16/32/64 channels. See ``resnet``."""
    return resnet((3, 3, 3), classes, width, activation, name="resnet20")


def resnet18(classes: int = 10, width: int = 64, activation: Shape = "relu") -> Wiring:
    """Four stages of two blocks, 64 to 512 channels. See ``resnet``."""
    return resnet((2, 2, 2, 2), classes, width, activation, name="resnet18")


def resnet50(classes: int = 10, width: int = 64, activation: Shape = "relu") -> Wiring:
    """Four stages of 3, 4, 6 and 3 bottlenecks. See ``resnet``."""
    return resnet((3, 4, 6, 3), classes, width, activation, bottleneck=True, name="resnet50")


def _block(name: str, source: str, shape: tuple[int, int, int], activation: Shape, bottleneck: bool) -> Iterator[Node]:
    before, inner, stride = shape
    after = inner * (EXPANSION if bottleneck else 1)
    shortcut = source
    if (before, stride) != (after, 1):
        yield from _norm(f"{name}_short", source, before, after, 1, stride)
        shortcut = f"{name}_short_norm"
    steps = [(before, inner, 3, stride), (inner, inner, 3, 1)]
    if bottleneck:
        steps = [(before, inner, 1, 1), (inner, inner, 3, stride), (inner, after, 1, 1)]
    parts = [f"{name}_{order}" for order in ("first", "second", "third")[: len(steps)]]
    for part, (entering, leaving, kernel, pace) in zip(parts, steps, strict=True):
        yield from _norm(part, source, entering, leaving, kernel, pace)
        if part != parts[-1]:
            yield _act(part, f"{part}_norm", activation)
            source = f"{part}_act"
    yield Node(name=f"{name}_add", kind="add", inputs=(f"{parts[-1]}_norm", shortcut))
    yield _act(name, f"{name}_add", activation)


def _norm(name: str, source: str, before: int, after: int, kernel: int, stride: int) -> list[Node]:
    """Convolution and batch norm; the image keeps its size, or is halved by the stride."""
    args: Args = {
        "in_channels": before,
        "out_channels": after,
        "kernel_size": kernel,
        "stride": stride,
        "padding": kernel // 2,
        "bias": False,
    }
    return [
        Node(name=f"{name}_conv", kind="conv2d", inputs=(source,), args=args),
        Node(name=f"{name}_norm", kind="batch_norm", inputs=(f"{name}_conv",), args={"channels": after}),
    ]


def _act(name: str, source: str, activation: Shape) -> Node:
    return Node(name=f"{name}_act", kind="activation", inputs=(source,), args={"shape": activation})
