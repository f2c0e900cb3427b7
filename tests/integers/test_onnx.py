"""Random programs in onnxruntime: every state, spike and score equals the interpreter's."""

import numpy as np
import onnxruntime
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.machine import encode, moments
from spikequant.deploy.onnx.writing import model


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_onnxruntime_agrees(first: int, random_programs, compared_in_onnxruntime) -> None:
    for index, program in enumerate(random_programs(range(first, first + 100)), first):
        images = drawn(program, 2, index)
        assert compared_in_onnxruntime(program, images, list(moments(program, encode(program, images)))) > 0


def test_onnxruntime_agrees_where_neurons_compete(competing_programs, compared_in_onnxruntime) -> None:
    for index, program in enumerate(competing_programs(range(60))):
        images = drawn(program, 2, index)
        assert compared_in_onnxruntime(program, images, list(moments(program, encode(program, images)))) > 0


def test_a_flipped_weight_is_seen(random_programs) -> None:
    (program,) = random_programs(range(3, 4))
    name = next(name for name in program.tensors if name.endswith("threshold"))
    other = Program(program.header, program.tensors | {name: np.maximum(program.tensors[name] - 1, 1)})
    images = drawn(program, 16, 3)
    session = onnxruntime.InferenceSession(model(other, trace=True).SerializeToString(), providers=["CPUExecutionProvider"])
    codes = images.astype(np.uint8 if program.header.source.table else np.int8)
    found = session.run([f"{name.removesuffix('.threshold')}.v"], {"input": codes})[0]
    states = [moment.membranes[name.removesuffix(".threshold")].v for moment in moments(program, encode(program, images))]
    assert not np.array_equal(found, np.stack(states))
