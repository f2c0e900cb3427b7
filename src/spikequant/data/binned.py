"""Binned recordings kept on disk: written once for a set of files and a binning, and believed only by their hashes."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikequant import files
from spikequant.data.arrays import read_npy
from spikequant.data.dataset import Split
from spikequant.data.official import HOME, expanded
from spikequant.errors import SpikequantError

VARIABLE = "SPIKEQUANT_CACHE"
VERSION = 1
LIMIT = 2**36

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def binned(name: str, sources: Mapping[str, str], options: Mapping[str, Any], make: Callable[[], Arrays]) -> Split:
    """The sequences ``x [n, time, ...]`` and classes that ``make`` gives, read from disk where it was asked for the same before.

    ``sources`` are the hashes of the files and ``options`` the binning: together with the version of the format they name the folder,
    under ``SPIKEQUANT_CACHE``, else ``~/.cache/spikequant``. A folder whose files do not fit their hashes is made anew; where none can be
    written, nothing is kept.

    Raises:
        DataError: there is no home folder, and the variable is not set.
    """
    key = hashlib.sha256(json.dumps([VERSION, name, dict(sources), dict(options)], sort_keys=True).encode()).hexdigest()[:32]
    folder = expanded(os.environ.get(VARIABLE) or HOME, f"{VARIABLE} to a folder for binned recordings") / "binned" / f"{name}-{key}"
    kept = _read(folder)
    if kept is None:
        kept = make()
        _write(folder, kept)
    x, y = kept
    return Split(torch.from_numpy(x), torch.from_numpy(y), sequence=True)


def _read(folder: Path) -> Arrays | None:
    try:
        known = json.loads((folder / "hashes.json").read_text())
        found = {name: (folder / name).read_bytes() for name in ("x.npy", "y.npy")}
        if {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} != known:
            return None
        return read_npy(found["x.npy"], LIMIT), read_npy(found["y.npy"], LIMIT)
    except (OSError, ValueError):
        return None


def _write(folder: Path, arrays: Arrays) -> None:
    known = {}
    try:
        files.folder(folder)
        parts: dict[str, NDArray[Any]] = {"x.npy": arrays[0], "y.npy": arrays[1]}
        for name, array in parts.items():
            with files.replacing(folder / name) as file:
                np.save(file, array, allow_pickle=False)
            known[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        files.write(folder / "hashes.json", json.dumps(known))
    except SpikequantError:
        return  # a cache that cannot be kept costs time, nothing else
