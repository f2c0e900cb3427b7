"""Spiking Heidelberg Digits: the official HDF5 files, plain or packed; 700 channels, 20 classes.

No hash of the files is known to us: layout, channels, times and labels are checked, and what is found is recorded.

Source: Cramer et al., "The Heidelberg spiking data sets for the systematic evaluation of spiking neural networks", 2022 (CC BY 4.0).
"""

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant.data.binned import Arrays, binned
from spikequant.data.dataset import DataSet, Split
from spikequant.data.events import Binning, Events, frames
from spikequant.data.hdf5 import read_hdf5
from spikequant.data.official import beginning, root_folder
from spikequant.errors import DataError

CHANNELS, CLASSES = 700, 20
LONGEST_S = 10.0
LARGEST = 2**30
SETS = ["spikes/times", "spikes/units", "labels"]
TRAIN, TEST = Binning(steps=25, step_ms=40.0), Binning(steps=30, step_ms=40.0)


def shd(root: Path | str | None = None, train: Binning = TRAIN, test: Binning = TEST) -> DataSet:
    """SHD from ``<root>/shd``, else ``<root>/SHD``: steps of 40 ms, 25 to train and 30 to test.

    The paper gives the numbers of steps and not their length; 25 of 40 ms hold nearly all of a digit.

    Raises:
        DataError: a file is absent, or holds what cannot be.
    """
    folder = _located(root)
    hashes, splits = {}, []
    for part, binning in (("train", train.checked(side=1)), ("test", test.checked(side=1))):
        content = _content(folder, f"shd_{part}.h5")
        hashes[f"shd_{part}.h5"] = hashlib.sha256(content).hexdigest()
        splits.append(_split(content, hashes[f"shd_{part}.h5"], f"file shd_{part}.h5 in folder {folder}", binning))
    return DataSet("shd", splits[0], splits[1], CLASSES, (CHANNELS,), hashes, scale=1.0)


def _located(root: Path | str | None) -> Path:
    base = root_folder(root)
    for name in ("shd", "SHD"):
        if any((base / name / f"shd_train.h5{packed}").is_file() for packed in ("", ".gz")):
            return base / name
    raise DataError(f"no file shd_train.h5 or shd_train.h5.gz in {base / 'shd'}; put the official files there")


def _content(folder: Path, name: str) -> bytes:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            content = beginning(path, LARGEST)
            content = _unpacked(content, path) if path.suffix == ".gz" else content
            if len(content) > LARGEST:
                raise DataError(f"{path} holds more than {LARGEST} bytes; the official file is smaller")
            return content
    raise DataError(f"no file {name} or {name}.gz in {folder}; put the official one there")


def _unpacked(packed: bytes, path: Path) -> bytes:
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(packed, LARGEST + 1)
    except zlib.error as error:
        raise DataError(f"{path} is not a gzip stream: {error}") from None


def _split(content: bytes, sha256: str, place: str, binning: Binning) -> Split:
    def make() -> Arrays:
        found: dict[str, Any] = read_hdf5(content, SETS, place=place)
        times, units, labels = (found[name] for name in SETS)
        if not len(times) == len(units) == len(labels) > 0:
            raise DataError(f"{place}: {len(times)} times, {len(units)} units and {len(labels)} labels; must be equally many, and some")
        y = np.asarray(labels).astype(np.int64)
        if y.min() < 0 or y.max() >= CLASSES:
            raise DataError(f"{place}: a label is {int(y.min())} or {int(y.max())}; must be 0 to {CLASSES - 1}")
        x = np.stack([frames(_events(*each, place), CHANNELS, binning) for each in zip(times, units, strict=True)])
        return x, y

    return binned("shd", {"file": sha256}, binning.fields(), make)


def _events(times: NDArray[Any], units: NDArray[Any], place: str) -> Events:
    """The events of one sample from seconds and channels; bins begin at the sample's first spike."""
    seconds = times.astype(np.float64)
    if len(times) != len(units) or not ((seconds >= 0) & (seconds <= LONGEST_S)).all():
        raise DataError(f"{place}: a sample has {len(times)} times and {len(units)} units, or a time outside 0 to {LONGEST_S} s")
    if units.dtype.kind not in "iu":
        raise DataError(f"{place}: units are {units.dtype}; must be whole numbers")
    order = np.argsort(seconds, kind="stable")
    return Events(np.rint(seconds * 1e6).astype(np.int64)[order], units.astype(np.int64)[order])
