"""Random programs of every operation and choice: interpreter, torch and C give the same states and spikes, every one."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from spikequant.deploy import Executor, Program, Simulation
from spikequant.deploy.c.layout import Form
from spikequant.deploy.c.vectors import drawn, hashes
from spikequant.deploy.container import from_bytes, to_bytes
from spikequant.deploy.machine import Moment, encode, moments, run

EACH = 50
FORMS = ["interpreter", "torch", "C, gcc -O0", "ONNX, onnxruntime", "C of the executor, of every fourth fifty"]
RESULT = Path(__file__).parents[2] / "results" / "integers" / "random.json"


def judged(program: Program, images: np.ndarray) -> list[Moment]:
    return list(moments(program, encode(program, images)))


def spikes_and_sums(program: Program, images: np.ndarray, judge: list[Moment]) -> int:
    """How many values interpreter and torch agree on; they must agree on all."""
    compared, values = 0, dict(Simulation(program).values(torch.from_numpy(encode(program, images))))
    for t, moment in enumerate(judge):
        for name, value in values.items():
            assert np.array_equal(value[min(t, len(value) - 1)].numpy(), moment.values[name]), (name, t)
            compared += moment.values[name].size
    return compared


def predicted(program: Program, images: np.ndarray) -> list[int]:
    """Classes by the interpreter, whatever ``program.predict`` runs on."""
    return program.chosen(run(program, images)).tolist()


@pytest.mark.parametrize("first", [*range(0, 100, EACH), *(pytest.param(first, marks=pytest.mark.slow) for first in range(100, 500, EACH))])
def test_interpreter_torch_and_c_agree(first: int, random_programs, compiled) -> None:
    programs = random_programs(range(first, first + EACH))
    # The usual C, and by turns that which keeps a still image's sums and the fast one of the executor.
    other = Form(once=True) if first % (2 * EACH) else Form(once=True, scattered=True)
    usual, less_usual = compiled(programs, ["-O0"]), compiled(programs[::2], ["-O0"], other)
    for index, program in enumerate(programs):
        images = drawn(program, 2, index)
        assert spikes_and_sums(program, images, judged(program, images)) > 0
        expected = predicted(program, images), hashes(program, images)
        assert usual.run(index, images) == expected, first + index
        assert index % 2 or less_usual.run(index // 2, images) == expected, first + index


@pytest.mark.parametrize("first", range(0, 100, EACH))
def test_neurons_that_compete_agree(first: int, competing_programs, compiled) -> None:
    programs = competing_programs(range(first, first + EACH))
    usual, fast = compiled(programs, ["-O0"]), compiled(programs, ["-O0"], Form(once=True, scattered=True))
    for index, program in enumerate(programs):
        images = drawn(program, 2, index)
        assert spikes_and_sums(program, images, judged(program, images)) > 0
        expected = predicted(program, images), hashes(program, images)
        assert usual.run(index, images) == fast.run(index, images) == expected, first + index


@pytest.mark.skipif(shutil.which("cc") is None, reason="no cc")
def test_executors_agree(random_programs) -> None:
    for program in random_programs(range(520, 535)):
        images = drawn(program, 3)
        assert np.array_equal(Executor(program).run(encode(program, images)), run(program, images))


def test_sanitizers_find_nothing(random_programs, competing_programs, compiled) -> None:
    programs = random_programs(range(500, 515)) + competing_programs(range(200, 205))
    for form in (Form(), Form(once=True, scattered=True)):
        library = compiled(programs, ["-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"], form)
        for index, program in enumerate(programs):
            images = drawn(program, 2, index)
            assert library.run(index, images)[1] == hashes(program, images)


@pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("make") is None, reason="no gcc or make")
def test_no_address_is_out_of_bounds(random_programs, competing_programs, tmp_path) -> None:
    flags = "CFLAGS=-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    for index, program in enumerate(random_programs(range(600, 604)) + competing_programs(range(210, 212))):
        program.write_c(tmp_path / str(index))
        found = subprocess.run(["make", "-s", "-C", str(tmp_path / str(index)), "CC=gcc", flags, "test"], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr
        assert found.stdout.count("as the program") == 4


def test_programs_are_read_as_they_were_written(random_programs, competing_programs) -> None:
    for program in random_programs(range(100)) + competing_programs(range(20)):
        assert from_bytes(to_bytes(program)).hash == program.hash


def test_draws_reach_every_operation(random_programs) -> None:
    kinds = {op.kind for program in random_programs(range(100)) for op in program.header.operations}
    assert kinds == {"dense", "conv2d", "lif", "sum_pool", "or_pool", "add", "concat", "flatten"}


def test_draws_of_neurons_that_compete_reach_every_operation(competing_programs) -> None:
    operations = [op for program in competing_programs(range(20)) for op in program.header.operations]
    assert {"delay", "inhibit", "winner"} <= {op.kind for op in operations}
    assert any(op.kind == "lif" and op.refractory for op in operations)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["every operation", "neurons that compete"])
def test_ten_thousand_programs(kind: str, random_programs, competing_programs, compiled, compared_in_onnxruntime) -> None:
    """Goes on where the record of this kind ends, so that it can be run in pieces; a full record begins anew."""
    count = int(os.environ.get("SPIKEQUANT_RANDOM_PROGRAMS", "10000"))
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if record.get("forms") != FORMS:
        record = {"forms": FORMS, "programs of": {}}
    begun = record["programs of"].get(kind)
    if begun is None or begun["programs"] >= count:
        begun = record["programs of"][kind] = {"programs": 0, "values": 0, "states": 0, "values_in_onnxruntime": 0, "different": 0}
    make = random_programs if kind == "every operation" else competing_programs
    for first in range(begun["programs"], count, EACH):
        programs = make(range(first, min(first + EACH, count)))
        forms = [Form()] if first % (4 * EACH) else [Form(), Form(once=True, scattered=True)]
        libraries = [compiled(programs, ["-O0"], form) for form in forms]
        for index, program in enumerate(programs):
            images = drawn(program, 2, index)
            judge = judged(program, images)
            begun["values"] += spikes_and_sums(program, images, judge)
            begun["states"] += sum(part.v.size for moment in judge for part in moment.membranes.values())
            begun["values_in_onnxruntime"] += compared_in_onnxruntime(program, images, judge)
            expected = predicted(program, images), hashes(program, images)
            assert all(library.run(index, images) == expected for library in libraries), first + index
        begun["programs"] = first + len(programs)
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
