"""What every operation of a program has: a name, inputs, the shape of its value, and the tensors that it stores."""

from typing import Annotated, NamedTuple

from pydantic import Field

from spikequant.errors import SpecError
from spikequant.quantizers import Spec

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Shape = tuple[int, ...]
INT32 = 2**31 - 1
LARGEST = 2**24  # elements of one value: more than any of our targets holds


class Slot(NamedTuple):
    """A stored tensor: its shape, its lowest and highest value, and the bits of one packed element (None: the narrowest integer type)."""

    shape: Shape
    low: int
    high: int
    bits: int | None = None


class Operation(Spec):
    """One operation: its name, and whose values it takes."""

    name: Name
    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=64, strict=False)]

    def slots(self, shapes: list[Shape]) -> dict[str, Slot]:
        """The tensors that it stores, by the last part of their name."""
        return {}

    def out_shape(self, shapes: list[Shape]) -> Shape:
        """The shape of its value for one sample and time step.

        Raises:
            SpecError: it cannot take these inputs.
        """
        return self.only(shapes)

    def only(self, shapes: list[Shape], dimensions: int | None = None) -> Shape:
        """The shape of its single input.

        Raises:
            SpecError: more inputs than one, or other dimensions.
        """
        if len(shapes) != 1 or (dimensions is not None and len(shapes[0]) != dimensions):
            raise SpecError(f"{self.name}: takes one input{f' of {dimensions} dimensions' if dimensions else ''}, got {shapes}")
        return shapes[0]
