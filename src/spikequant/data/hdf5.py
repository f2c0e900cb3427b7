"""HDF5 files from strangers, opened in a process of their own: libhdf5 can be made to crash or to run for ever."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import util
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant.data import hdf5_worker
from spikequant.errors import DataError

Values = NDArray[Any] | list[NDArray[Any]]

LIMIT = 2**31
MARGIN = 2**30  # bytes for the process itself
SECONDS = 10
BYTES_PER_SECOND = 4 * 2**20  # slower than any that was measured by a factor of ten


def read_hdf5(file: Path | str | bytes, names: Sequence[str], limit: int = LIMIT, place: str = "") -> dict[str, Values]:
    """The named data sets of an HDF5 file: an array each, or a list of arrays where the rows have lengths of their own.

    ``limit`` bounds their bytes together; time and memory are bounded by it and by the size of the file. Content that was
    checked by its hash is given as bytes, and ``place`` names it in messages.

    Raises:
        DataError: h5py is absent; the file is absent or damaged; a data set is absent, holds anything but numbers, lies
            outside the file (external, linked or virtual), has a filter that is not built in, or declares more than
            ``limit`` or than its stored bytes can hold.
    """
    file = Path(file) if isinstance(file, str) else file
    where = place or (f"file {file}" if isinstance(file, Path) else "HDF5 content")
    if util.find_spec("h5py") is None:
        raise DataError(f"{where}: reading HDF5 needs h5py; install spikequant[events]")
    answer, content = _answered(file, names, limit, where)
    if "parts" not in answer:
        raise DataError(f"{where}: {answer.get('refused')}")
    return _unpacked(answer["parts"], content, where)


def _answered(file: Path | bytes, names: Sequence[str], limit: int, where: str) -> tuple[dict[str, Any], memoryview]:
    try:
        size = file.stat().st_size if isinstance(file, Path) else len(file)
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror}") from None
    seconds = SECONDS + size // BYTES_PER_SECOND
    most = min(limit, hdf5_worker.SLACK + hdf5_worker.RATIO * size)
    question = {"names": list(names), "limit": limit, "memory": MARGIN + 2 * size + 4 * most, "seconds": seconds}
    line = json.dumps(question | {"path": str(file.absolute()) if isinstance(file, Path) else None}).encode() + b"\n"
    try:
        done = subprocess.run(
            [sys.executable, "-P", hdf5_worker.__file__],
            input=line if isinstance(file, Path) else line + file,
            capture_output=True,
            timeout=2 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{where} took longer than {seconds} s to read: damaged, or made to keep its reader busy") from None
    head, newline, _ = done.stdout.partition(b"\n")
    if done.returncode != 0 or not newline:
        raise DataError(f"{where} ended the process that read it (code {done.returncode}): damaged, or made to do so")
    return json.loads(head), memoryview(done.stdout)[len(head) + 1 :]


def _unpacked(parts: dict[str, Any], content: memoryview, where: str) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for name, said in parts.items():
        dtype, count = np.dtype(said["dtype"]), prod(said["shape"])
        if dtype.kind not in "biuf" or count * dtype.itemsize > len(content):
            raise DataError(f"{where}: the answer for data set {name!r} is cut short")
        flat = np.frombuffer(content, dtype, count).copy()
        content = content[flat.nbytes :]
        found[name] = flat.reshape(said["shape"]) if said["lengths"] is None else _rows(flat, said["lengths"])
    return found


def _rows(flat: NDArray[Any], lengths: Sequence[int]) -> list[NDArray[Any]]:
    ends = list(accumulate(lengths))
    return [flat[end - length : end] for end, length in zip(ends, lengths, strict=True)]
