"""The C on emulated Cortex-M0, M3, M4 and M7: every state and spike as the program says."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spikequant.deploy import Program

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(
        shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
        reason="no arm-none-eabi-gcc or qemu-system-arm",
    ),
]
HERE = Path(__file__).parent / "cortex_m"
MACHINES = {
    "cortex-m0": ("microbit", "256K", "16K"),
    "cortex-m3": ("mps2-an385", "4M", "4M"),
    "cortex-m4": ("mps2-an386", "4M", "4M"),
    "cortex-m7": ("mps2-an500", "4M", "4M"),
}
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-DSPIKEQUANT_CHECK"]


def emulated(program: Program, folder: Path, core: str) -> str:
    """What main_test prints on a core."""
    machine, flash, ram = MACHINES[core]
    program.write_c(folder)
    script = (HERE / "memory.ld").read_text().replace("FLASH_SIZE", flash).replace("RAM_SIZE", ram)
    (folder / "memory.ld").write_text(script)
    link = ["-nostartfiles", "--specs=nano.specs", "--specs=rdimon.specs", "-T", str(folder / "memory.ld")]
    sources = [str(folder / "model.c"), str(folder / "main_test.c")]
    start = str(folder / "start.o")  # not C of ours to judge: addresses of sections are no pedantic C
    compiler = ["arm-none-eabi-gcc", f"-mcpu={core}", "-mthumb", "-Os"]
    subprocess.run([*compiler, "-c", str(HERE / "start.c"), "-o", start], check=True, timeout=60)
    image = str(folder / "test.elf")
    subprocess.run([*compiler, *FLAGS, *link, *sources, start, "-o", image], check=True, timeout=60)
    command = ["qemu-system-arm", "-M", machine, "-nographic", "-semihosting", "-kernel", image]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize("core", MACHINES)
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(core: str, seed: int, random_programs, tmp_path) -> None:
    (program,) = random_programs(range(seed, seed + 1))
    assert emulated(program, tmp_path, core).count("as the program") == 4


@pytest.mark.parametrize("core", MACHINES)
def test_neurons_that_compete(core: str, competing_programs, tmp_path) -> None:
    (program,) = competing_programs(range(3, 4))
    assert emulated(program, tmp_path, core).count("as the program") == 4


def test_a_wrong_vector_fails(random_programs, tmp_path) -> None:
    (program,) = random_programs(range(1))
    name = next(name for name in program.tensors if name.endswith("threshold"))
    other = Program(program.header, program.tensors | {name: np.maximum(program.tensors[name] - 1, 1)})
    program.write_c(tmp_path / "right")
    other.write_c(tmp_path / "wrong")
    assert (tmp_path / "right" / "vectors.h").read_text() != (tmp_path / "wrong" / "vectors.h").read_text()
