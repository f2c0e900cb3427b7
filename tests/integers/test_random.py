"""Random programs of every operation and choice: interpreter, torch and C give the same states and spikes, every one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from spikequant.deploy import Program, Simulation
from spikequant.deploy.c.vectors import drawn, hashes
from spikequant.deploy.container import from_bytes, to_bytes
from spikequant.deploy.machine import encode, moments

EACH = 50
RESULT = Path(__file__).parents[2] / "results" / "integers" / "random.json"


def spikes_and_sums(program: Program, images: np.ndarray) -> int:
    """How many values interpreter and torch agree on; they must agree on all."""
    codes, compared = encode(program, images), 0
    values = dict(Simulation(program).values(torch.from_numpy(codes)))
    for t, moment in enumerate(moments(program, codes)):
        for name, value in values.items():
            assert np.array_equal(value[min(t, len(value) - 1)].numpy(), moment.values[name]), (name, t)
            compared += moment.values[name].size
    return compared


def states(program: Program, images: np.ndarray) -> int:
    codes = encode(program, images)
    return sum(part.v.size for moment in moments(program, codes) for part in moment.membranes.values())


@pytest.mark.parametrize("first", range(0, 500, EACH))
def test_interpreter_torch_and_c_agree(first: int, random_programs, compiled) -> None:
    programs = random_programs(range(first, first + EACH))
    library = compiled(programs, ["-O0"])
    for index, program in enumerate(programs):
        images = drawn(program, 2, index)
        assert spikes_and_sums(program, images) > 0
        assert library.run(index, images) == (program.predict(images).tolist(), hashes(program, images)), first + index


def test_sanitizers_find_nothing(random_programs, compiled) -> None:
    programs = random_programs(range(500, 515))
    library = compiled(programs, ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"])
    for index, program in enumerate(programs):
        images = drawn(program, 2, index)
        assert library.run(index, images)[1] == hashes(program, images)


def test_programs_are_read_as_they_were_written(random_programs) -> None:
    for program in random_programs(range(100)):
        assert from_bytes(to_bytes(program)).hash == program.hash


def test_draws_reach_every_operation(random_programs) -> None:
    kinds = {op.kind for program in random_programs(range(100)) for op in program.header.operations}
    assert kinds == {"dense", "conv2d", "lif", "sum_pool", "or_pool", "add", "concat", "flatten"}


@pytest.mark.long
def test_ten_thousand_programs(random_programs, compiled) -> None:
    count = int(os.environ.get("SPIKEQUANT_RANDOM_PROGRAMS", "10000"))
    values = membranes = 0
    for first in range(0, count, EACH):
        programs = random_programs(range(first, min(first + EACH, count)))
        library = compiled(programs, ["-O1"])
        for index, program in enumerate(programs):
            images = drawn(program, 2, index)
            values += spikes_and_sums(program, images)
            membranes += states(program, images)
            assert library.run(index, images) == (program.predict(images).tolist(), hashes(program, images)), first + index
    record = {"programs": count, "forms": ["interpreter", "torch", "C, gcc -O1"], "values": values, "states": membranes, "different": 0}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
