"""Random programs in onnxruntime: every state, spike and score equals the interpreter's."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.machine import encode, moments
from spikequant.deploy.onnx.writing import model
from spikequant.deploy.operations import Lif

RESULT = Path(__file__).parents[2] / "results" / "integers" / "onnx.json"


def compared(program: Program, images: np.ndarray) -> int:
    """How many values were compared; all of them are equal."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model(program, trace=True).SerializeToString(), options, providers=["CPUExecutionProvider"])
    codes = images.astype(np.uint8 if program.header.source.table else np.int8)
    found = dict(zip([output.name for output in session.get_outputs()], session.run(None, {"input": codes}), strict=True))
    scores = program.run(images)
    assert np.array_equal(found["scores"], scores)
    count = scores.size
    for t, moment in enumerate(moments(program, encode(program, images))):
        for op in program.header.operations:
            reach, value = program.reach(op.name), moment.values[op.name]
            assert reach.low <= value.min() <= value.max() <= reach.high, f"{op.name} leaves what is proven of it"
            if isinstance(op, Lif):
                assert np.array_equal(found[f"{op.name}.value"][t], moment.values[op.name]), (op.name, t)
                assert np.array_equal(found[f"{op.name}.v"][t], moment.membranes[op.name].v), (op.name, t)
                count += 2 * moment.values[op.name].size
    return count


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_onnxruntime_agrees(first: int, random_programs) -> None:
    for index, program in enumerate(random_programs(range(first, first + 100)), first):
        assert compared(program, drawn(program, 2, index)) > 0


def test_onnxruntime_agrees_where_neurons_compete(competing_programs) -> None:
    for index, program in enumerate(competing_programs(range(60))):
        assert compared(program, drawn(program, 2, index)) > 0


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


@pytest.mark.long
def test_ten_thousand_programs(random_programs) -> None:
    count = int(os.environ.get("SPIKEQUANT_RANDOM_PROGRAMS", "10000"))
    values = 0
    for seed in range(count):
        (program,) = random_programs(range(seed, seed + 1))
        values += compared(program, drawn(program, 2, seed))
    record = {"programs": count, "forms": ["interpreter", f"onnxruntime {onnxruntime.__version__}"], "values": values, "different": 0}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
