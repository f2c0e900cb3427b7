import numpy as np

from spikequant.deploy import Program
from spikequant.deploy.c.synapses import Geometry, in_planes, synapse_constants
from spikequant.deploy.operations import Dense
from spikequant.deploy.program import Header, Source


def test_weights_lie_by_input_then_output(residual: Program) -> None:
    conv1, _, conv2, *_ = residual.header.operations
    weight, bias = synapse_constants(residual, conv1, planes=False)
    codes = residual.tensors["conv1.weight"]  # [output, input, row, column] of 4 bits: each byte holds both outputs of a tap
    assert weight.values.tolist() == [(int(a) & 15) | (int(b) & 15) << 4 for a, b in zip(codes[0].flat, codes[1].flat, strict=True)]
    assert bias.elements == 2
    planes, basis, _ = synapse_constants(residual, conv2, planes=True)
    assert (planes.elements, planes.kind, basis.elements) == (2 * 2 * 9, "uint32_t", 4)
    first = residual.tensors["conv2.weight"][0, :, 0, 0]
    assert planes.values[0] == (int(first[0]) & 1) | (int(first[1]) & 1) << 1


def test_activity_chooses_planes(residual: Program) -> None:
    conv1, _, conv2, *_ = residual.header.operations
    assert not in_planes(residual, conv1, 1.0)  # integers
    assert not in_planes(residual, conv2, 0.5)  # 2 of 32 bits are used: counting them costs 16 times as much
    ops = (Dense(name="a", inputs=("input",), bits=2, features=3), Dense(name="b", inputs=("a",), bits=2, coding="planes", features=3))
    tensors = {
        "a.weight": np.zeros((3, 1)),
        "a.bias": np.zeros(3),
        "b.weight": np.zeros((3, 3)),
        "b.basis": np.ones((3, 2)),
        "b.bias": np.zeros(3),
    }
    program = Program(Header(name="n", time=1, source=Source(shape=(1,)), operations=ops), tensors)
    assert Geometry(program, ops[1]).words == 1
    assert not in_planes(program, ops[1], 1.0)  # its input is no spike
    fed = Dense(name="a", inputs=("input",), bits=2, coding="planes", features=3)
    events = Source(shape=(32,), low=0, high=1, still=False)
    tensors = {"a.weight": np.zeros((3, 32)), "a.basis": np.ones((3, 2)), "a.bias": np.zeros(3)}
    program = Program(Header(name="n", time=1, source=events, operations=(fed,)), tensors)
    assert in_planes(program, fed, 0.09)  # events are spikes
    assert not in_planes(program, fed, 0.07)
