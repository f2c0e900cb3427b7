"""A program's C compiled here, for this processor, and loaded into this process."""

import ctypes
import os
import shutil
import tempfile
from pathlib import Path

from spikequant.errors import SpecError
from spikequant.numerics.kernels.compiling import compile_library


def compiler() -> str | None:
    """Where the C compiler is, if there is one: ``CC``, else ``cc``."""
    return shutil.which(os.environ.get("CC", "cc"))


def loaded(header: str, source: str) -> ctypes.CDLL:
    """The library of a model's two files.

    Raises:
        SpecError: there is no C compiler (``CC``, else ``cc``), or it fails.
    """
    found = compiler()
    if found is None:
        raise SpecError(f"there is no C compiler {os.environ.get('CC', 'cc')}; name one in CC, or use Simulation")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "model.h").write_text(header)
        (place / "model.c").write_text(source)
        try:
            compile_library(found, place / "model.c", place / "model.so", "native", threads=False)
            return ctypes.CDLL(str(place / "model.so"))
        except OSError as error:
            raise SpecError(f"the C of the program cannot be compiled: {error}") from None
