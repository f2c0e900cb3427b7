"""How the C is compiled. The wheel's build hook runs this file by itself, so it imports nothing of ours."""

import platform
import subprocess
from pathlib import Path

# No fast-math and no contraction: the same bits on every instruction set, and the same as torch.
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
SECONDS = 120

# What each level asks of a processor, in the words of /proc/cpuinfo; best first.
_V3 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
_V4 = f"{_V3} avx512bw avx512cd avx512dq avx512f avx512vl"
LEVELS = {"x86-64-v4": frozenset(_V4.split()), "x86-64-v3": frozenset(_V3.split()), "x86-64": frozenset[str]()}


def instruction_sets(machine: str) -> tuple[str, ...]:
    """The instruction sets that a wheel has a library for, best first.

    >>> instruction_sets("x86_64"), instruction_sets("aarch64")
    (('x86-64-v4', 'x86-64-v3', 'x86-64'), ('aarch64',))
    """
    return tuple(LEVELS) if machine == "x86_64" else (machine,)


def runs(instruction_set: str, features: str) -> bool:
    """Whether a processor with these features runs code for an instruction set.

    >>> runs("x86-64", "fpu"), runs("x86-64-v4", "fpu avx2")
    (True, False)
    """
    return LEVELS.get(instruction_set, frozenset()) <= set(features.split())


def features() -> str:
    """What the processor can do, as /proc/cpuinfo says: features that the system does not save and restore are not there."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"unknown {platform.machine()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), "unknown")


def file_name(instruction_set: str, threads: bool) -> str:
    """The name of a shipped library.

    >>> file_name("x86-64-v3", threads=False)
    'kernels-x86-64-v3-serial.so'
    """
    return f"kernels-{instruction_set}{'' if threads else '-serial'}.so"


def compile_library(compiler: str, source: Path, target: Path, instruction_set: str, threads: bool) -> None:
    """Compile with OpenMP but link without its runtime: the symbols bind to the one that torch has loaded.

    Raises:
        OSError: the compiler cannot be run, or failed.
    """
    processor = [f"-march={instruction_set}"] if instruction_set in (*LEVELS, "native") else []
    made = target.with_suffix(".o")
    try:
        _run([compiler, *FLAGS, *processor, *(["-fopenmp"] if threads else []), "-c", str(source), "-o", str(made)])
        _run([compiler, "-shared", "-s", str(made), "-o", str(target), "-lm"])
    finally:
        made.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{command[0]} failed: {error.stderr.strip() or error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} took longer than {SECONDS} s") from error
