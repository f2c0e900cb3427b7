"""Instructions of a program's C on emulated Cortex-M, and the sizes of its sections there; bit for bit the program's classes.

QEMU counts (``-icount shift=0``): its SysTick advances once in a fixed number of instructions, which a loop of known length calibrates.
Instructions are not cycles. The code for Cortex-M0 runs on the emulated M3, whose instructions include its own.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

PARTS = Path(__file__).parents[2] / "tests" / "integers" / "cortex_m"
MACHINES = {"cortex-m0": "mps2-an385", "cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
FLAGS = ["-mthumb", "-Os", "-std=c99", "-Wall", "-Wextra", "-Werror"]
LOOP = 2_000_000  # instructions of the calibration
MAIN = """#include <stdint.h>
#include <stdio.h>
#include "model.h"
#include "vectors.h"
#define SYSTICK ((volatile uint32_t *)0xE000E010)
static net_memory memory;
static uint32_t since(uint32_t before) { return (before - SYSTICK[2]) & 0xFFFFFFu; }
int main(void) {
    int wrong = 0;
    uint32_t count = 1000000, sum = 0;
    SYSTICK[1] = 0xFFFFFFu;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
    const uint32_t before = SYSTICK[2];
    __asm volatile(".syntax unified\\n1: subs %0, %0, #1\\n bne 1b" : "+l"(count) : : "cc");
    const uint32_t known = since(before);
    for (int i = 0; i < VECTORS; i++) {
        const uint32_t begun = SYSTICK[2];
        wrong += net_run(&memory, vectors.images + i * VECTOR_SIZE) != vectors.classes[i];
        sum += since(begun);
    }
    printf("%lu %lu %d\\n", (unsigned long)known, (unsigned long)sum, VECTORS);
    return wrong + (vectors.hashes[0] & 0);
}
"""


class Emulated(NamedTuple):
    """One core: instructions of one image, bytes of code, constants and memory."""

    instructions_per_image: int
    text: int
    rodata: int
    bss: int


def emulated(folder: Path, core: str) -> Emulated:
    """What the C of a folder, as ``write_c`` makes it, takes on a core.

    Raises:
        CalledProcessError: a class differs from the program's, or a tool fails.
    """
    (folder / "emulated.c").write_text(MAIN)
    (folder / "memory.ld").write_text((PARTS / "memory.ld").read_text().replace("FLASH_SIZE", "4M").replace("RAM_SIZE", "4M"))
    compiler = ["arm-none-eabi-gcc", f"-mcpu={core}", *FLAGS]
    run([*compiler, "-c", "model.c", "-o", "model.arm.o"], folder)
    run(["arm-none-eabi-gcc", f"-mcpu={core}", "-mthumb", "-Os", "-c", str(PARTS / "start.c"), "-o", "start.o"], folder)
    link = ["-nostartfiles", "--specs=nano.specs", "--specs=rdimon.specs", "-T", "memory.ld"]
    run([*compiler, *link, "model.arm.o", "emulated.c", "start.o", "-o", "emulated.elf"], folder)
    machine = ["qemu-system-arm", "-M", MACHINES[core], "-nographic", "-semihosting", "-icount", "shift=0", "-kernel", "emulated.elf"]
    known, ticks, images = map(int, run(machine, folder).split())
    sizes = {
        line.split()[0]: int(line.split()[1])
        for line in run(["arm-none-eabi-size", "-A", "model.arm.o"], folder).splitlines()[2:-1]
        if line
    }
    text = sum(size for name, size in sizes.items() if name.startswith(".text"))
    memory = run(["arm-none-eabi-nm", "-S", "emulated.elf"], folder)
    bss = next(int(line.split()[1], 16) for line in memory.splitlines() if line.endswith(" memory"))
    return Emulated(round(ticks / known * LOOP / images), text, sizes.get(".rodata", 0), bss)


def run(command: list[str], folder: Path) -> str:
    """What a command prints."""
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=3000, stdin=subprocess.DEVNULL)
    return found.stdout
