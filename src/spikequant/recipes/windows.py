"""Means over windows as sums of whole numbers, whose division the next threshold takes over."""

from typing import Any, NamedTuple

from spikequant.errors import SpecError
from spikequant.models import Node
from spikequant.models.wiring import Args

MEANS = ("mean_pool", "average_pool")


class Windows(NamedTuple):
    """Windows of ``size``, ``stride`` apart, whose sums are divided by ``divisor``."""

    size: tuple[int, int]
    stride: tuple[int, int]
    divisor: int

    @property
    def args(self) -> Args:
        """Those of the ``sum_pool`` that takes the place of the mean."""
        (height, width), square = self.size, self.size[0] == self.size[1]
        return {"size": height} if square and self.stride == self.size else {"size": [height, width], "stride": list(self.stride)}


def windows(node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> Windows:
    """The windows of a mean, ``average_pool`` or ``mean_pool``, from ``[channel, height, width]`` to another.

    Raises:
        SpecError: they are not all alike.

    >>> windows(Node(name="p", kind="mean_pool", inputs=("x",), args={"kernel_size": 3, "stride": 2}), (1, 7, 7), (1, 3, 3))
    Windows(size=(3, 3), stride=(2, 2), divisor=9)
    """
    if node.kind == "mean_pool":
        return _fixed(node, before)
    if before[1] % after[1] or before[2] % after[2]:
        raise SpecError(
            f"{node.name}: an average of {before[1]}x{before[2]} over unequal windows to {after[1]}x{after[2]} has no integer form"
        )
    size = (before[1] // after[1], before[2] // after[2])
    return Windows(size, size, size[0] * size[1])


def _fixed(node: Node, before: tuple[int, ...]) -> Windows:
    size = pair(node.args["kernel_size"])
    stride = pair(node.args.get("stride") or size)
    over = any((side - reach) % step for side, reach, step in zip(before[1:], size, stride, strict=True))
    if any(pair(node.args.get("padding", 0))) or (node.args.get("ceil_mode") and over):
        raise SpecError(f"{node.name}: a mean over windows that reach beyond the image has no integer form; use windows without padding")
    given: Any = node.args.get("divisor_override")
    return Windows(size, stride, given or size[0] * size[1])


def pair(value: Any) -> tuple[int, int]:
    """Torch's ``3`` and ``(3, 3)`` as the latter.

    >>> pair(3), pair([3, 2])
    ((3, 3), (3, 2))
    """
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
