"""Every 8-bit state, accumulator, leak, reset and compare: the C step is the interpreter's."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.arithmetic import Constants, Membrane, step
from spikequant.deploy.c.emit import sources
from spikequant.deploy.c.neurons import neuron_function
from spikequant.deploy.operations import Dense, Leak, Lif
from spikequant.deploy.program import Header, Source

LEAKS = [
    Leak(),
    Leak(kind="shift", shift=3),
    Leak(kind="shift_min1", shift=2),
    Leak(kind="constant", amount=3),
    *[Leak(kind="multiply_shift", multiplier=230, shift=8, rounding=rounding) for rounding in ("floor", "trunc", "half_up")],
]
ACCS, STATES, THRESHOLD = np.arange(-300, 301), np.arange(-128, 128), 60
CASES = """
#include "model.h"
void sweep(int32_t which, int8_t *held, int8_t *spikes);
void sweep(int32_t which, int8_t *held, int8_t *spikes) {
    static net_memory memory, *m = &memory;
    for (int32_t v = -128; v < 128; v++) for (int32_t acc = -300; acc <= 300; acc++) switch (which) {
CASES
    }
}
"""


def every_choice() -> list[Lif]:
    found = []
    for leak, reset, order, timing in itertools.product(LEAKS, ("subtract", "value", "none"), (">=", ">"), ("now", "next")):
        for at, snapped, overflow in itertools.product(("stored", "full"), ("before_fire", "after_reset"), ("saturate", "wrap")):
            if overflow == "saturate" or at == "stored":
                choices = {"reset": reset, "compare": order, "timing": timing, "compare_at": at, "snapped": snapped, "overflow": overflow}
                found.append({"leak": leak, "shift": 1, "reset_value": -5, **choices})
    for leak, shift, rounding in itertools.product(LEAKS, (0, 2), ("floor", "half_up", "half_even")):
        found.append({"leak": leak, "shift": shift, "rounding": rounding})
    return [Lif(name=f"n{index}", inputs=("dense",), state_bits=8, **fields) for index, fields in enumerate(found)]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_every_state_accumulator_leak_reset_and_compare(tmp_path) -> None:
    neurons = every_choice()
    dense = Dense(name="dense", inputs=("input",), bits=8, features=1, bias=False)
    tensors = {"dense.weight": np.array([[127]])} | {f"{op.name}.threshold": np.array([THRESHOLD]) for op in neurons}
    program = Program(Header(name="all", time=1, source=Source(shape=(1,), low=-3, high=3), operations=(dense, *neurons)), tensors)
    made = sources(program, {})
    case = "    case {0}: m->n{0}_v[0] = (int8_t)v; *spikes++ = (int8_t)n{0}_neuron(m, 0, 0, acc); *held++ = m->n{0}_v[0]; break;\n"
    cases = "".join(case.format(index) for index in range(len(neurons)))
    (tmp_path / "model.h").write_text(made.header)
    (tmp_path / "all.c").write_text(made.source + CASES.replace("CASES", cases).replace('#include "model.h"\n', ""))
    library = str(tmp_path / "all.so")
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, str(tmp_path / "all.c"), "-o", library], check=True, timeout=300)
    sweep = ctypes.CDLL(library).sweep
    v, acc = (grid.reshape(1, 1, -1) for grid in np.meshgrid(STATES, ACCS, indexing="ij"))
    held, spikes = (np.zeros(acc.size, np.int8) for _ in range(2))
    for index, op in enumerate(neurons):
        sweep(index, held.ctypes.data_as(ctypes.c_void_p), spikes.ctypes.data_as(ctypes.c_void_p))
        z, membrane = step(op, acc, Membrane(v), Constants(np.array([[[THRESHOLD]]])))
        assert np.array_equal(spikes, z.flat), op
        assert np.array_equal(held, membrane.v.flat), op
    assert len(neurons) * acc.size == 7 * (72 + 6) * 601 * 256


def test_choices_are_made_before_the_c_is_written() -> None:
    op = Lif(name="n", inputs=("a",), state_bits=8)
    assert neuron_function(op, 0).count("if") == 0
    assert "if (z) v = 0;" in neuron_function(op.model_copy(update={"reset": "value"}), 0)
