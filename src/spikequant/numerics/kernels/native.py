"""The C library: shipped with the wheel, else compiled on first use into the user's cache, else absent."""

import ctypes
import functools
import hashlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path

SOURCES = ("kernels.c", "lif.c", "norm.c")
# No fast-math and no contraction: the same bits on every instruction set, and the same as torch.
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
HERE = Path(__file__).parent
SHIPPED = HERE / "spikequant_kernels.so"


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library, or None where there is neither a shipped one nor a compiler; ``SPIKEQUANT_KERNELS=torch`` turns it off."""
    if os.environ.get("SPIKEQUANT_KERNELS", "auto") == "torch":
        return None
    path = SHIPPED if SHIPPED.is_file() else _compiled()
    if path is None:
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def origin() -> str:
    """Where the library comes from, for ``spikequant doctor``."""
    if library() is None:
        return "none: torch is used (no shipped library, and no compiler or SPIKEQUANT_KERNELS=torch)"
    return "shipped with the wheel" if SHIPPED.is_file() else f"compiled into {_cached()}"


def _openmp() -> bool:
    """Whether torch's own thread pool is there to share: two pools would fight for the cores."""
    return hasattr(ctypes.CDLL(None), "GOMP_parallel")


@functools.cache
def _cached() -> Path:
    folder = Path(os.environ.get("SPIKEQUANT_CACHE") or Path.home() / ".cache" / "spikequant") / "kernels"
    content = b"".join((HERE / source).read_bytes() for source in SOURCES)
    key = hashlib.sha256(content + repr((FLAGS, _machine(), _openmp())).encode()).hexdigest()[:24]
    return folder / f"{key}.so"


def _machine() -> str:
    """What ``-march=native`` depends on: a home folder may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line for line in lines if line.startswith(("flags", "Features"))), "unknown")


def _compiled() -> Path | None:
    target = _cached()
    if target.is_file():
        return target
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile(compiler, temporary)
        temporary.with_suffix(".so").replace(target)
    except (OSError, subprocess.SubprocessError):
        return None
    finally:
        for suffix in (".so", ".o"):
            temporary.with_suffix(suffix).unlink(missing_ok=True)
    return target


def _compile(compiler: str, stem: Path) -> None:
    """Compile with OpenMP but link without its runtime: the symbols bind to the one that torch has loaded."""
    threads = ["-fopenmp"] if _openmp() else []
    objects, linked = str(stem.with_suffix(".o")), str(stem.with_suffix(".so"))
    source = str(HERE / SOURCES[0])
    subprocess.run([compiler, *FLAGS, "-march=native", *threads, "-c", source, "-o", objects], check=True, capture_output=True, timeout=120)
    subprocess.run([compiler, "-shared", objects, "-o", linked, "-lm"], check=True, capture_output=True, timeout=120)
