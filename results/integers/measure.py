"""What the programs of ``networks.py`` take, and whether every form of them answers alike; one JSON file per network, in one run.

    python results/integers/measure.py FOLDER digits squat-fmnist sew-resnet8 stdp-net

Accuracy: torch's form, the executor's C and the packed C on the whole test set, the interpreter on its first images.
Instructions: valgrind, x86-64, gcc -Os, of ``net_run``, one image after the other. Speed: processor time on one thread, least of several
rounds, all forms in turn within each round.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emulated import MACHINES, emulated
from networks import CASES
from numpy.typing import NDArray
from snntorch_form import Looped

import spikequant as sq
from spikequant import training
from spikequant.data import DataSet, load
from spikequant.deploy import Executor, Program, Simulation
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.machine import encode, encode_narrow, interpret

HERE = Path(__file__).parent
INTERPRETED, PART, BATCH, ROUNDS = 400, 100, 128, 5
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
    """Measure what is asked for and is not in the file of this program yet; remove the file to begin anew."""
    torch.set_num_threads(1)
    for name in sys.argv[2:]:
        folder, data = Path(sys.argv[1]) / name, load(CASES[name].data)
        program, file = Program.load(folder / "net.sqp"), HERE / f"{name}.json"
        found: dict[str, Any] = {"network": name, "options": CASES[name]._asdict(), "program": program.hash}
        found["program_file_bytes"] = (folder / "net.sqp").stat().st_size
        before = json.loads(file.read_text()) if file.exists() else {}
        with tempfile.TemporaryDirectory() as place:
            for part, measure in parts(program, folder, data, Path(place)).items():
                same = before.get("program") == program.hash and part in before
                found[part] = before[part] if same else measure()
                file.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found), flush=True)


def parts(program: Program, folder: Path, data: DataSet, place: Path) -> dict[str, Callable[[], Any]]:
    """All that is measured, by its name in the file."""
    still, first = program.header.source.still, data.test.x[:BATCH]
    shown = taken(program, data.train.x[:16], data.scale)
    shown = shown if still else encode(program, shown)
    usual = place / "every-step"
    found: dict[str, Callable[[], Any]] = {"C, every step": lambda: c_figures(program, usual, shown, False)}
    if still:
        found["C, first layer once"] = lambda: c_figures(program, place / "once", shown, True)
        found["snnTorch, float"] = lambda: beside_ours(folder, first.float() / data.scale)
    program.write_c(usual, shown)
    if shutil.which("qemu-system-arm"):
        found["C on emulated Cortex-M, every step"] = lambda: {core: emulated(usual, core)._asdict() for core in MACHINES}
    found["microseconds_per_image"] = lambda: speeds(program, folder, first, data.scale)
    test = taken(program, data.test.x, data.scale), data.test.y.numpy()
    return found | {"accuracy": lambda: accuracies(program, *test, usual)}


def taken(program: Program, pixels: torch.Tensor, scale: float) -> Bytes:
    """Images as a program takes them: pixels where it has their table."""
    return pixels.numpy() if program.header.source.table else (pixels.float() / scale).numpy()


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
    run(["gcc", "-O3", "-std=c99", "-fPIC", "-shared", "model.c", "-o", "model.so"], folder)
    library = ctypes.CDLL(str(folder / "model.so"))
    bytes_of_memory = json.loads((folder / "report.json").read_text())["memory_bytes"]
    simulation, executor = Simulation(program), Executor(program)

    def answers(at: int) -> tuple[Bytes, Bytes, Bytes, Bytes]:
        """Of one part (spikes are drawn by an image's place in it): by torch, executor, packed C, and the interpreter of the first."""
        part, memory = images[at : at + PART], ctypes.create_string_buffer(bytes_of_memory)
        codes = encode(program, part)
        packed = [library.net_run(memory, each.ctypes.data_as(ctypes.c_void_p)) for each in as_bytes(program, part)]
        scores = [simulation(torch.from_numpy(codes)).numpy(), executor.run(codes)]
        scores += [interpret(program, codes)] if at < INTERPRETED else []
        torch_form, c_form, *interpreted = (program.chosen(each) for each in scores)
        return torch_form, c_form, np.array(packed), interpreted[0] if interpreted else torch_form[:0]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = zip(*pool.map(answers, range(0, len(images), PART)), strict=True)
    torch_form, c_form, packed, interpreted = (np.concatenate(each) for each in parts)
    return {
        "test_images": len(classes),
        "torch": float(np.mean(torch_form == classes)),
        "executor": float(np.mean(c_form == classes)),
        "packed_c": float(np.mean(packed == classes)),
        "executor_different": int((torch_form != c_form).sum()),
        "packed_c_different": int((packed != torch_form).sum()),
        "interpreted_images": len(interpreted),
        "interpreter_different": int((interpreted != torch_form[: len(interpreted)]).sum()),
    }


def speeds(program: Program, folder: Path, pixels: torch.Tensor, scale: float) -> dict[str, dict[str, float]]:
    """Each form, for one image and for a batch."""
    still, x = program.header.source.still, pixels.float() / scale
    codes = encode(program, taken(program, pixels, scale))
    narrow = codes.astype(np.int8)  # as ``Program.run`` gives them to the executor
    executor, simulation, whole = Executor(program), Simulation(program), sq.load(folder / "integer").eval()
    network = sq.load(folder / "float").eval()

    def first(n: int, codes: Bytes = codes) -> Bytes:
        return codes[:n] if still else codes[:, :n]

    forms: dict[str, Callable[[int], object]] = {
        "executor": lambda n: executor.run(first(n, narrow)),
        "program in torch": lambda n: simulation(torch.from_numpy(first(n))),
        "integer network": lambda n: whole(x[:n]),
        "float network": lambda n: network(x[:n]),
    }
    if still:
        looped = Looped(network).eval()
        forms["snnTorch, float"] = lambda n: looped(x[:n])
    if program.header.name == "stdp-net":
        # The forms of the network draw their spikes themselves.
        images = taken(program, pixels, scale)
        forms["executor, spikes drawn too"] = lambda n: executor.run(encode_narrow(program, images[:n]))
        forms["float network, event by event"] = lambda n: training.respond(network, x[:n])
    rounds = ROUNDS if still else 2
    return {f"batch {n}": {name: each / n for name, each in raced(forms, n, rounds).items()} for n in (1, BATCH)}


@torch.no_grad()
def beside_ours(folder: Path, x: torch.Tensor) -> dict[str, int]:
    """In how many images snnTorch's form and our float network differ."""
    network = sq.load(folder / "float").eval()
    return {"images": len(x), "different": int((network(x).argmax(1) != Looped(network).eval()(x).argmax(1)).sum())}


@torch.no_grad()
def raced(forms: dict[str, Callable[[int], object]], n: int, rounds: int) -> dict[str, float]:
    """Microseconds of processor time, least of all rounds."""
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(rounds if n > 1 else 5 * rounds):
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
