import numpy as np
import pytest
from onnx import TensorProto

from spikequant.deploy import Program
from spikequant.deploy.bounds import Range
from spikequant.deploy.onnx.graph import Graph
from spikequant.deploy.onnx.synapses import declared, digits
from spikequant.deploy.operations import Dense
from spikequant.deploy.program import Header, Source


@pytest.mark.parametrize(
    ("reach", "largest", "shifts"),
    [
        ((0, 1), 127, [0]),
        ((-127, 127), 64, [0]),
        ((-127, 127), 127, [0, 7]),  # 2 * 254 * 127 does not fit 16 bits
        ((0, 255), 64, [0]),
        ((0, 300), 7, [0, 8]),
        ((-2048, 2047), 127, [0, 7]),
    ],
)
def test_two_products_fit_16_bits(reach: tuple[int, int], largest: int, shifts: list[int]) -> None:
    found = digits(Graph(), "x", Range(*reach), largest)
    assert [each.shift for each in found] == shifts
    assert sum(each.zero << each.shift for each in found) == -reach[0]
    base = 256 if len(found) == 1 else 1 << shifts[1]
    assert 2 * min(reach[1] - reach[0], base - 1) * largest <= 2**15 - 1


@pytest.mark.parametrize(
    ("basis", "kinds"),
    [((1, 2), [TensorProto.INT4]), ((40, 80), [TensorProto.INT8]), ((300, 7), [TensorProto.INT4, TensorProto.INT4])],
)
def test_weights_take_four_bits_where_they_fit(basis: tuple[int, int], kinds: list[int]) -> None:
    op = Dense(name="dense", inputs=("input",), bits=2, coding="planes", features=1, bias=False)
    tensors = {"dense.weight": np.array([[0, 1, 2, 3]]), "dense.basis": np.array([basis])}
    program = Program(Header(name="planes", time=1, source=Source(shape=(4,)), operations=(op,)), tensors)
    g = Graph()
    held = declared(g, op, program)
    assert [constant.data_type for constant in g.constants] == kinds
    assert len(held) == len(kinds)
