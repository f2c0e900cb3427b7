"""The C library: shipped with the wheel, else compiled on first use into the user's cache, else absent."""

import ctypes
import functools
import hashlib
import os
import platform
import secrets
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from spikequant.errors import SpecError, unknown
from spikequant.numerics.kernels.compiling import FLAGS, compile_library, features, file_name, instruction_sets, runs

HERE = Path(__file__).parent
SOURCES = ("kernels.c", *sorted({each.name for each in HERE.glob("*.c")} - {"kernels.c"}))
WISHES = ("auto", "native", "torch")


class Kernels(NamedTuple):
    """Which form of the kernels runs, where it is from, and what is wrong: ``none`` is a wish that cannot be met."""

    library: ctypes.CDLL | None
    form: Literal["c", "torch", "none"]
    origin: str
    problem: str | None = None


def library() -> ctypes.CDLL | None:
    """The library, or None where torch takes its place.

    Raises:
        SpecError: ``SPIKEQUANT_KERNELS`` is ``native`` and there is none, or it is not one of ``WISHES``.
    """
    found = kernels_in_use()
    if found.form == "none":
        raise SpecError(found.problem)
    return found.library


@functools.cache
def kernels_in_use() -> Kernels:
    """The form that ``SPIKEQUANT_KERNELS`` wishes for, as far as it is here; looked for once."""
    wish = os.environ.get("SPIKEQUANT_KERNELS", "auto")
    if wish not in WISHES:
        return Kernels(None, "none", "", unknown("form of the kernels", wish, WISHES, "SPIKEQUANT_KERNELS"))
    if wish == "torch":
        return Kernels(None, "torch", "SPIKEQUANT_KERNELS=torch")
    found = _found()
    if found.library is None and wish == "native":
        return Kernels(None, "none", "", f"SPIKEQUANT_KERNELS=native, but {found.problem}; unset it and torch is used")
    return found


def _found() -> Kernels:
    problems = []
    sources: dict[str, Callable[[], Path]] = {"shipped with the wheel": _shipped, "compiled on first use": _compiled}
    for origin, find in sources.items():
        try:
            path = find()
            c = ctypes.CDLL(str(path))
        except (OSError, RuntimeError) as error:  # the latter where there is no home folder
            problems.append(f"no library is {origin} ({error})")
            continue
        return _admitted(c, f"{origin}: {path}")
    return Kernels(None, "torch", "the form without C", " and ".join(problems))


def _admitted(c: ctypes.CDLL, origin: str) -> Kernels:
    from spikequant.numerics.kernels.selfcheck import agrees  # the check runs the twin, which asks this file for its library

    if agrees(c):
        return Kernels(c, "c", origin)
    problem = f"the C library {origin} does not compute what the reference computes, and is not used; please report it"
    warnings.warn(problem, RuntimeWarning, stacklevel=2)
    return Kernels(None, "torch", "the form without C", problem)


def _openmp() -> bool:
    """Whether torch's own thread pool is there to share: two pools would fight for the cores."""
    return hasattr(ctypes.CDLL(None), "GOMP_parallel")


def _shipped() -> Path:
    here = features()
    names = [file_name(each, _openmp()) for each in instruction_sets(platform.machine()) if runs(each, here)]
    shipped = [HERE / name for name in names if (HERE / name).is_file()]
    if not shipped:
        raise FileNotFoundError("this installation has none for this processor")
    return shipped[0]


def _cached() -> Path:
    folder = Path(os.environ.get("SPIKEQUANT_CACHE") or Path.home() / ".cache" / "spikequant") / "kernels"
    content = b"".join((HERE / source).read_bytes() for source in SOURCES)
    # What -march=native depends on is in the key: a home folder may be shared by unlike machines.
    key = hashlib.sha256(content + repr((FLAGS, features(), _openmp())).encode()).hexdigest()[:24]
    return folder / f"{key}.so"


def _compiled() -> Path:
    target = _cached()
    if target.is_file():
        return target
    wanted = os.environ.get("CC", "cc")
    compiler = shutil.which(wanted)
    if compiler is None:
        raise FileNotFoundError(f"there is no C compiler {wanted}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}.so")
    try:
        compile_library(compiler, HERE / SOURCES[0], temporary, "native", _openmp())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
