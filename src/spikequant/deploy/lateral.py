"""Operations by which the neurons of a layer act on each other: a value of the step before, inhibition, the draw of a winner."""

from typing import Annotated, Literal

from pydantic import Field

from spikequant.deploy.base import LARGEST, Operation, Shape, Slot
from spikequant.errors import SpecError

DRAW_BITS = 15
MOST = 2**16 - 1  # neurons among which a winner is drawn: their number times a draw stays within 32 bits


class Delay(Operation):
    """The value that an operation further on had in the step before; 0 in the first. The only operation that looks back.

    Its ``shape`` and the greatest value ``high`` (0 is the least) are declared here, and held against the operation and its proof.
    """

    kind: Literal["delay"] = "delay"
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST)], ...], Field(min_length=1, max_length=3, strict=False)]
    high: Annotated[int, Field(ge=1, le=127)] = 1

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """As declared."""
        if len(self.inputs) != 1:
            raise SpecError(f"{self.name}: takes one input, got {', '.join(self.inputs)}")
        return self.shape


class Inhibit(Operation):
    """Lateral inhibition: ``y_n = -strength (sum over m of x_m - x_n)``."""

    kind: Literal["inhibit"] = "inhibit"
    strength: Annotated[int, Field(ge=1, le=2**23)]


class Winner(Operation):
    """Of the neurons whose value is above 0 one keeps it, all others give 0.

    It is number ``floor(draw count / 2^15)`` of the ``count`` that are above 0, in order, where ``draw`` is the stored ``draws[t]`` of
    step t, from the first again when they are used up.
    """

    kind: Literal["winner"] = "winner"
    draws: Annotated[int, Field(ge=1, le=100_000)]

    def slots(self, shapes: list[Shape]) -> dict[str, Slot]:
        """The draws."""
        return {"draws": Slot((self.draws,), 0, 2**DRAW_BITS - 1)}

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """That of its input, neurons in a row."""
        (neurons,) = self.only(shapes, 1)
        if neurons > MOST:
            raise SpecError(f"{self.name}: a winner is drawn among at most {MOST} neurons, got {neurons}")
        return (neurons,)
