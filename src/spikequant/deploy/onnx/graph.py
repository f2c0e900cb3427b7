"""A graph under construction: nodes in order, constants held once."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INT4_LOW, INT4_HIGH = -8, 7


class Graph:
    """Nodes of one scope; a scope made by ``inner`` shares names and constants with it, as the body of a Scan does.

    Calling it adds a node and gives the name of its output; whole numbers among the inputs become int32 constants.
    """

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = [] if outer is None else outer.constants
        self._held: dict[tuple[str, tuple[int, ...], bytes], str] = {} if outer is None else outer._held
        self._count: list[int] = [0] if outer is None else outer._count

    def inner(self) -> "Graph":
        """A scope within this one."""
        return Graph(self)

    def __call__(self, kind: str, *inputs: str | int, **attributes: Any) -> str:
        """Add a node of one output."""
        names = [self.constant(each) if isinstance(each, int) else each for each in inputs]
        output = self._name(kind.lower())
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def named(self, value: str, name: str) -> None:
        """Give a value a name of its own."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def constant(self, value: Any, kind: Any = np.int32) -> str:
        """A constant, int32 unless said otherwise."""
        array = np.asarray(value, dtype=kind)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._held:
            self._held[key] = self._name("c")
            self.constants.append(numpy_helper.from_array(array, self._held[key]))
        return self._held[key]

    def nibbles(self, values: NDArray[np.int64]) -> str:
        """Whole numbers of -8..7, stored as INT4, as INT8."""
        name = self._name("w")
        self.constants.append(helper.make_tensor(name, TensorProto.INT4, values.shape, values.flatten().tolist()))
        return self("Cast", name, to=TensorProto.INT8)

    def cast(self, x: str, to: int) -> str:
        """Another type."""
        return self("Cast", x, to=to)

    def _name(self, stem: str) -> str:
        self._count[0] += 1
        return f"{stem}.{self._count[0]}"  # the dot keeps it apart from names of operations


def halved(g: Graph, x: str, shift: int) -> str:
    """``floor(x / 2^shift)``: int32 has no shift, Div truncates, Mod has the divisor's sign."""
    return g("Div", g("Sub", x, g("Mod", x, 1 << shift)), 1 << shift) if shift else x


def doubled(g: Graph, x: str, shift: int) -> str:
    """``x 2^shift``."""
    return g("Mul", x, 1 << shift) if shift else x
