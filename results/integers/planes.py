"""When LQ-Net's bit planes take fewer instructions than events: one dense layer, both forms of its C, on emulated Cortex-M.

    python results/integers/planes.py

256 inputs to 128 neurons, 2 and 3 planes, spikes drawn at each rate; instructions of a time step, neurons and all loops among them.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from emulated import emulated

from spikequant.deploy import Program
from spikequant.deploy.c.emit import sources
from spikequant.deploy.operations import Dense, Leak, Lif
from spikequant.deploy.program import Header, Source

RATES = (0.02, 0.04, 0.06, 0.08, 0.11, 0.18, 0.28)
CORES = ("cortex-m0", "cortex-m4")
INPUTS, NEURONS, TIME, IMAGES = 256, 128, 20, 4
HERE = Path(__file__).parent


def main() -> None:
    """Measure both forms at every rate."""
    found = {f"{planes} planes": {core: measured(planes, core) for core in CORES} for planes in (2, 3)}
    (HERE / "planes.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


def measured(planes: int, core: str) -> dict[str, dict[str, int]]:
    """Instructions of a step by rate and form."""
    program, draw = layer(planes), np.random.default_rng(1)
    answer = {}
    for rate in RATES:
        images = (draw.random((TIME, IMAGES, INPUTS)) < rate).astype(np.int64)
        answer[f"{rate:.2f}"] = {form: instructions(program, images, core, active) for form, active in (("events", 0.0), ("planes", 1.0))}
    return answer


def layer(planes: int) -> Program:
    """Weights and basis drawn at random."""
    draw = np.random.default_rng(0)
    operations = (
        Dense(name="lq", inputs=("input",), bits=planes, coding="planes", features=NEURONS),
        Lif(name="lif", inputs=("lq",), state_bits=16, leak=Leak(kind="shift", shift=3)),
    )
    tensors = {
        "lq.weight": draw.integers(0, 2**planes, (NEURONS, INPUTS)), "lq.basis": draw.integers(20, 128, (NEURONS, planes)),
        "lq.bias": np.zeros(NEURONS), "lif.threshold": np.full(NEURONS, 900),
    }  # fmt: skip
    source = Source(shape=(INPUTS,), low=0, high=1, still=False)
    return Program(Header(name="layer", time=TIME, source=source, operations=operations), tensors)


def instructions(program: Program, images: np.ndarray, core: str, active: float) -> int:
    """Instructions of a step, in the form that this share of active inputs chooses."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        program.write_c(folder, images)
        made = sources(program, {"lq": active})
        (folder / "model.h").write_text(made.header)
        (folder / "model.c").write_text(made.source)
        return round(emulated(folder, core).instructions_per_image / TIME)


if __name__ == "__main__":
    main()
