"""The operations of an integer program, as data: their fields, what they store, and the shape of what they give; see also ``lateral``."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spikequant.deploy.base import INT32, LARGEST, Operation, Shape, Slot
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.errors import SpecError
from spikequant.quantizers import Spec

Pair = Annotated[tuple[int, int], Field(strict=False)]


class Weighted(Operation):
    """Synapses: ``acc = (sum of w x) 2^shift + bias``.

    ``coding``: ``integer``, w two's complement in ``bits``; or ``planes``, w = sum over k of ``basis_k (2 bit_k - 1)``, where
    ``bit_k`` is bit k of the stored code (LQ-Net; binary weights are one plane).
    """

    coding: Literal["integer", "planes"] = "integer"
    bits: Annotated[int, Field(ge=1, le=8)]
    bias: bool = True
    shift: Annotated[int, Field(ge=0, le=16)] = 0

    def _stored(self, shape: Shape) -> dict[str, Slot]:
        half = 1 << (self.bits - 1)
        codes = (0, 2 * half - 1) if self.coding == "planes" else (-half, half - 1)
        found = {"weight": Slot(shape, codes[0], codes[1], self.bits)}
        if self.coding == "planes":
            found["basis"] = Slot((shape[0], self.bits), -(2**15), 2**15 - 1)
        if self.bias:
            found["bias"] = Slot(shape[:1], -INT32, INT32)
        return found


class Dense(Weighted):
    """Every input to every output: weight ``[features, input]``."""

    kind: Literal["dense"] = "dense"
    features: Annotated[int, Field(ge=1, le=LARGEST)]

    def slots(self, shapes: list[Shape]) -> dict[str, Slot]:
        """Weight, basis, bias."""
        return self._stored((self.features, self.only(shapes, 1)[0]))

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """``[features]``."""
        self.only(shapes, 1)
        return (self.features,)


class Conv2d(Weighted):
    """A convolution: weight ``[channels, input channels / groups, *kernel]``; padding is with zeros."""

    kind: Literal["conv2d"] = "conv2d"
    channels: Annotated[int, Field(ge=1, le=65536)]
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: Annotated[int, Field(ge=1, le=65536)] = 1

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        _refuse_windows(self.name, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        if min(self.padding) < 0 or max(self.padding) > 1024:
            raise ValueError(f"{self.name}: padding must be 0 to 1024, got {self.padding}")
        return self

    def slots(self, shapes: list[Shape]) -> dict[str, Slot]:
        """Weight, basis, bias."""
        channels = self.only(shapes, 3)[0]
        if channels % self.groups or self.channels % self.groups:
            raise SpecError(f"{self.name}: {channels} and {self.channels} channels cannot be split into {self.groups} groups")
        return self._stored((self.channels, channels // self.groups, *self.kernel))

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """``[channels, height, width]``."""
        _, *sides = self.only(shapes, 3)
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        return (self.channels, *_windows(self.name, sides, self.padding, reach, self.stride))


class Leak(Spec):
    """What a membrane keeps of itself in one step, for a whole number v.

    ``none``: v; ``shift``: ``v - floor(v / 2^shift)``; ``shift_min1``: the same, but at least 1 towards zero (Xylo);
    ``multiply_shift``: ``rounding(v multiplier / 2^shift)`` (``trunc`` is Loihi's); ``constant``: ``amount`` towards zero (ODIN);
    ``table``: the codebook says it.
    """

    kind: Literal["none", "shift", "shift_min1", "multiply_shift", "constant", "table"] = "none"
    multiplier: Annotated[int, Field(ge=0, le=2**16)] = 1
    shift: Annotated[int, Field(ge=0, le=16)] = 0
    amount: Annotated[int, Field(ge=0, le=2**24)] = 0
    rounding: Literal["floor", "trunc", "half_up"] = "trunc"

    @model_validator(mode="after")
    def _shrinks(self) -> Self:
        if self.kind == "multiply_shift" and self.multiplier > 1 << self.shift:
            raise ValueError(f"a leak of {self.multiplier} / 2^{self.shift} grows; nearest valid multiplier: {1 << self.shift}")
        return self


class Synapse(Spec):
    """A synaptic current of its own: ``i = overflow(leak(i) + acc)``, and i charges the membrane."""

    bits: Annotated[int, Field(ge=2, le=24)]
    leak: Leak
    overflow: Literal["saturate", "wrap"] = "saturate"


class Lif(Operation):
    """Leaky integrate-and-fire, in whole numbers; with membrane v, threshold t (per channel), q = ``shift``::

        u = leak(v 2^q) + acc;   w = overflow(rounding(u / 2^q));   z = [w >= t];   v = w - z t, or z ? reset_value : w

    ``compare_at="full"`` compares u with ``t 2^q``. ``snapped="after_reset"`` compares and resets u, and rounds then. ``timing="next"``:
    the spike resets in the following step (a value before the leak, a subtraction after it). ``max_spikes`` above 1: as many as fit.
    ``levels`` above 0: the membrane is an index into that many levels ``[tables, levels]``, with the leaked levels beside them, and
    takes the nearest level, the lower one of two. ``refractory``: for so many steps after a spike acc is taken for 0.
    ``emits``: the spikes, or the membrane.

    Source: integer steps of Loihi, Xylo, ODIN and MINT; "Beyond Accuracy", section 3.3 (order).
    """

    kind: Literal["lif"] = "lif"
    state_bits: Annotated[int, Field(ge=1, le=24)]
    signed: bool = True
    shift: Annotated[int, Field(ge=0, le=16)] = 0
    rounding: Literal["floor", "half_up", "half_even"] = "half_up"
    leak: Leak = Leak()
    reset: Literal["subtract", "value", "none"] = "subtract"
    reset_value: int = 0
    timing: Literal["now", "next"] = "now"
    compare: Literal[">=", ">"] = ">="
    compare_at: Literal["stored", "full"] = "stored"
    snapped: Literal["before_fire", "after_reset"] = "before_fire"
    overflow: Literal["saturate", "wrap"] = "saturate"
    max_spikes: Annotated[int, Field(ge=1, le=127)] = 1
    levels: Annotated[int, Field(ge=0, le=256)] = 0
    tables: Literal["layer", "channel"] = "layer"
    synapse: Synapse | None = None
    refractory: Annotated[int, Field(ge=1, le=127)] | None = None
    emits: Literal["spikes", "membrane"] = "spikes"

    @property
    def low(self) -> int:
        """The lowest membrane."""
        return -(1 << (self.state_bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The highest membrane."""
        return self.low + (1 << self.state_bits) - 1

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        plain = self.timing == "now" and self.snapped == "before_fire" and self.reset == "subtract" and self.compare_at == "stored"
        if self.max_spikes > 1 and (not plain or self.levels):
            rule = "need a plain state that a spike subtracts from at once, compared as it is stored (else they take more than it holds)"
            raise ValueError(f"{self.name}: several spikes in a step {rule}")
        if self.levels == 1 or self.levels > 2**self.state_bits or (self.levels > 0) != (self.leak.kind == "table"):
            raise ValueError(f"{self.name}: {self.levels} levels do not fit {self.state_bits} bits and leak {self.leak.kind!r}")
        if self.levels and (self.shift or self.overflow == "wrap"):
            raise ValueError(f"{self.name}: a codebook has no shift and saturates, got shift={self.shift} and overflow={self.overflow!r}")
        if self.overflow == "wrap" and self.reset == "subtract" and self.compare_at == "full" and self.snapped == "before_fire":
            raise ValueError(f"{self.name}: with wrap and compare_at='full' a subtraction can leave the state; use compare_at='stored'")
        if not self.levels and not self.low <= self.reset_value <= self.high:
            raise ValueError(f"{self.name}: reset_value {self.reset_value} must lie in the state, {self.low} to {self.high}")
        return self

    def slots(self, shapes: list[Shape]) -> dict[str, Slot]:
        """Thresholds, and the codebook."""
        channels = self.only(shapes)[0]
        found = {"threshold": Slot((channels,), 1, 2**23 if self.levels else max(self.high, 1))}
        if self.levels:
            size = (channels if self.tables == "channel" else 1, self.levels)
            found |= {"levels": Slot(size, -(2**23), 2**23), "leaked": Slot(size, -(2**23), 2**23)}
        return found


class Pool(Operation):
    """What is common to pools: windows of ``size``, ``stride`` apart."""

    size: Pair
    stride: Pair

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        _refuse_windows(self.name, size=self.size, stride=self.stride)
        return self

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """``[channel, height, width]``."""
        channels, *sides = self.only(shapes, 3)
        return (channels, *_windows(self.name, sides, (0, 0), self.size, self.stride))


class SumPool(Pool):
    """The sum over windows; an average pool whose division the next threshold took over."""

    kind: Literal["sum_pool"] = "sum_pool"


class OrPool(Pool):
    """The greatest value of windows: of spikes, whether there is one."""

    kind: Literal["or_pool"] = "or_pool"


class Add(Operation):
    """The sum of whole numbers: SEW's residual connection."""

    kind: Literal["add"] = "add"

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """That of its inputs, which must agree."""
        if len(set(shapes)) != 1 or len(shapes) < 2:
            raise SpecError(f"{self.name}: add takes two or more inputs of one shape, got {shapes}")
        return shapes[0]


class Concat(Operation):
    """Inputs side by side, along the channels."""

    kind: Literal["concat"] = "concat"

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """The channels added up."""
        if len({shape[1:] for shape in shapes}) != 1:
            raise SpecError(f"{self.name}: concat takes inputs that agree but for their channels, got {shapes}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


class Flatten(Operation):
    """Channel, height and width as one axis, in this order."""

    kind: Literal["flatten"] = "flatten"

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """One axis."""
        return (math.prod(self.only(shapes)),)


AnyOperation = Annotated[
    Dense | Conv2d | Lif | SumPool | OrPool | Add | Concat | Flatten | Delay | Inhibit | Winner, Field(discriminator="kind")
]


def emitting(operations: Iterable[AnyOperation]) -> dict[str, Lif]:
    """The layers of neurons by the name of what they emit: their own, or that of the winner that is drawn among them."""
    found = dict[str, Lif]()
    for op in operations:
        if isinstance(op, Lif):
            found[op.name] = op
        elif isinstance(op, Winner) and op.inputs[0] in found:
            found[op.name] = found.pop(op.inputs[0])
    return found


def _refuse_windows(name: str, **pairs: tuple[int, int]) -> None:
    for what, pair in pairs.items():
        if min(pair) < 1 or max(pair) > 1024:
            raise ValueError(f"{name}: {what} must be 1 to 1024, got {pair}")


def _windows(name: str, sides: list[int], padding: Shape, reach: list[int] | Pair, stride: Shape) -> Shape:
    found = tuple((side + 2 * p - r) // s + 1 for side, p, r, s in zip(sides, padding, reach, stride, strict=True))
    if min(found) < 1:
        raise SpecError(f"{name}: a window of {tuple(reach)} does not fit {tuple(sides)} with padding {tuple(padding)}")
    return found
