"""What the programs of ``networks.py`` take, and whether every form of them answers alike; one JSON file per network, in one run.

    python results/integers/measure.py FOLDER digits squat-fmnist sew-resnet8

Accuracy: torch's form and the executor's C on the whole test set, the packed C on its first images, the interpreter where it is quick.
Instructions: valgrind, x86-64, gcc -Os, of ``net_run``, one image after the other. Speed: processor time on one thread, least of several
rounds, all forms in turn within each round.
"""

import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import CASES
from numpy.typing import NDArray

import spikequant as sq
from spikequant.data import load
from spikequant.deploy import Executor, Program, Simulation
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.machine import encode, interpret

HERE = Path(__file__).parent
PACKED, INTERPRETED, BATCH, ROUNDS = 1000, 360, 128, 5
MAIN = """#include "model.h"
#include "vectors.h"
static net_memory memory;
int main(void) {
    int32_t sum = 0;
    for (int i = 0; i < VECTORS; i++) sum += net_run(&memory, vectors.images + i * VECTOR_SIZE) + (vectors.hashes[i] & 1);
    return sum < 0 || vectors.classes[0] < 0;
}
"""
Bytes = NDArray[Any]


def main() -> None:
    """Measure what is asked for."""
    torch.set_num_threads(1)
    for name in sys.argv[2:]:
        folder, data = Path(sys.argv[1]) / name, load(CASES[name].data)
        program = Program.load(folder / "net.sqp")
        images, classes = data.test.x.numpy(), data.test.y.numpy()
        shown = data.train.x[:16].numpy()
        found: dict[str, Any] = {"network": name, "options": CASES[name]._asdict(), "program": program.hash}
        found["program_file_bytes"] = (folder / "net.sqp").stat().st_size
        with tempfile.TemporaryDirectory() as place:
            for form, once in (("every step", False), ("first layer once", True)):
                found[f"C, {form}"] = c_figures(program, Path(place) / form.replace(" ", "-"), shown, once)
            found["accuracy"] = accuracies(program, images, classes, Path(place) / "first-layer-once")
        found["microseconds_per_image"] = speeds(program, folder, data.test.x[:BATCH], data.scale)
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found), flush=True)


def c_figures(program: Program, folder: Path, shown: Bytes, once: bool) -> dict[str, Any]:
    """Sizes as reported and as ``size`` finds them, and instructions per image."""
    report = program.write_c(folder, shown, once=once)
    (folder / "count.c").write_text(MAIN)
    run(["gcc", "-Os", "-std=c99", "-c", "model.c"], folder)
    text = next(line for line in run(["size", "-A", "model.o"], folder).splitlines() if line.startswith(".text "))
    run(["gcc", "-Os", "-std=c99", "count.c", "model.o", "-o", "count"], folder)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=net_run", "./count"]
    counted = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr
    instructions = int(re.findall(r"Collected : (\d+)", counted)[0])
    sizes = {"constant_bytes": report["constant_bytes"], "memory_bytes": report["memory_bytes"], "state_bytes": report["state_bytes"]}
    return sizes | {"code_bytes": int(text.split()[1]), "instructions_per_image": round(instructions / 4), "activity": report["activity"]}


def accuracies(program: Program, images: Bytes, classes: Bytes, folder: Path) -> dict[str, Any]:
    """The share of right classes by every form, and in how many images two forms differ."""
    codes, simulation = encode(program, images), Simulation(program)
    parts = [simulation(torch.from_numpy(codes[at : at + 250])).numpy() for at in range(0, len(codes), 250)]
    torch_form, c_form = program.chosen(np.concatenate(parts)), program.chosen(Executor(program).run(codes))
    run(["gcc", "-O3", "-std=c99", "-fPIC", "-shared", "model.c", "-o", "model.so"], folder)
    library = ctypes.CDLL(str(folder / "model.so"))
    memory = ctypes.create_string_buffer(json.loads((folder / "report.json").read_text())["memory_bytes"])
    packed = [library.net_run(memory, each.ctypes.data_as(ctypes.c_void_p)) for each in as_bytes(program, images[:PACKED])]
    interpreted = program.chosen(interpret(program, codes[:INTERPRETED]))
    return {
        "test_images": len(classes),
        "torch": float(np.mean(torch_form == classes)),
        "executor": float(np.mean(c_form == classes)),
        "different": int((torch_form != c_form).sum()),
        "packed_c_images": len(packed),
        "packed_c_different": int((np.array(packed) != torch_form[:PACKED]).sum()),
        "interpreted_images": len(interpreted),
        "interpreter_different": int((interpreted != torch_form[:INTERPRETED]).sum()),
    }


def speeds(program: Program, folder: Path, pixels: torch.Tensor, scale: float) -> dict[str, dict[str, float]]:
    """Each form, for one image and for a batch."""
    codes, x = encode(program, pixels.numpy()), pixels.float() / scale
    executor, simulation, whole = Executor(program), Simulation(program), sq.load(folder / "integer").eval()
    network = sq.load(folder / "float").eval()
    forms: dict[str, Callable[[int], object]] = {
        "executor": lambda n: executor.run(codes[:n]),
        "program in torch": lambda n: simulation(torch.from_numpy(codes[:n])),
        "integer network": lambda n: whole(x[:n]),
        "float network": lambda n: network(x[:n]),
    }
    if program.header.name == "squat-fmnist":
        forms["snnTorch, float"] = snntorch_form(network, program.header.time, x)
    return {f"batch {n}": {name: each / n for name, each in raced(forms, n).items()} for n in (1, BATCH)}


def snntorch_form(network: sq.models.Network, steps: int, x: torch.Tensor) -> Callable[[int], object]:
    """SQUAT's network in snnTorch, with the values of ours."""
    sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))
    import snntorch
    from squat_step import Stepped, same_values

    peer = same_values(Stepped(snntorch, steps), network).eval()
    return lambda n: peer(x[:n])


@torch.no_grad()
def raced(forms: dict[str, Callable[[int], object]], n: int) -> dict[str, float]:
    """Microseconds of processor time, least of all rounds."""
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(ROUNDS if n > 1 else 5 * ROUNDS):
        for name, work in forms.items():
            begun = time.process_time()
            work(n)
            best[name] = min(best[name], (time.process_time() - begun) * 1e6)
    return best


def run(command: list[str], folder: Path) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600).stdout


if __name__ == "__main__":
    main()
