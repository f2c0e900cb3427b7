"""N-MNIST: the official folders ``Train`` and ``Test`` of one ``.bin`` file for each recording, ten classes.

No hash of its 70 000 files is known to us: their layout is checked, and what is found is recorded. A part of the set is read as
what it is, and its name says how much of it there was.

Source: Orchard, Jayawant, Cohen, Thakor, "Converting static image datasets to spiking neuromorphic datasets using saccades", 2015
(CC BY-SA 4.0); the format as in its authors' Read_Ndataset.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikequant.data.binned import Arrays, binned
from spikequant.data.dataset import DataSet, Split
from spikequant.data.events import Binning, Events, flat, frames
from spikequant.data.official import beginning, root_folder
from spikequant.errors import DataError

SIZE, RECORD, CLASSES = 34, 5, 10
OVERFLOW_ROW, OVERFLOW = 240, 2**13
FULL = {"Train": 60_000, "Test": 10_000}
BINNING = Binning(steps=25)
LARGEST = RECORD * 2**20


def nmnist(root: Path | str | None = None, binning: Binning = BINNING) -> DataSet:
    """N-MNIST from ``<root>/nmnist``, else ``<root>/N-MNIST``: 25 equal parts of each recording, on and off apart, counted.

    Raises:
        DataError: the folders are absent or empty, or a file is no recording.
    """
    binning.checked(SIZE)
    folder = _located(root)
    splits, hashes, counts = [], {}, []
    for part in FULL:
        paths = sorted((folder / part).glob("[0-9]/*.bin"))
        if not paths:
            raise DataError(f"no recording in {folder / part}; put the official folders 0 to 9 of .bin files there")
        hashes[part] = _hash(paths, folder)
        splits.append(_split(paths, hashes[part], binning))
        counts.append(len(paths))
    whole = counts == list(FULL.values())
    name = "nmnist" if whole else f"nmnist ({counts[0]} + {counts[1]} of 60000 + 10000)"
    side = SIZE // binning.down
    return DataSet(name, splits[0], splits[1], CLASSES, (2, side, side), hashes, scale=1.0)


def nmnist_17(root: Path | str | None = None) -> DataSet:
    """N-MNIST with two by two pixels joined: 17x17 of them, for networks that must be cheap; else as ``nmnist``."""
    whole = nmnist(root, BINNING._replace(down=2))
    return replace(whole, name=f"{whole.name}, 17x17")


def events(content: bytes, place: str = "N-MNIST content", down: int = 1) -> Events:
    """The events of a recording.

    Layout, 5 bytes each: x, y, then polarity in the highest bit and 23 bits of microseconds, big-endian. A row of 240 marks that the
    clock ran over: it is no event, and all later ones are 2^13 microseconds later.

    >>> events(bytes([3, 1, 0x80, 0, 9])).t.tolist()
    [9]

    Raises:
        DataError: not a whole number of events, or one outside the sensor.
    """
    if not content or len(content) % RECORD or len(content) > LARGEST:
        raise DataError(f"{place}: {len(content)} bytes must be a multiple of {RECORD}, above 0 and at most {LARGEST}")
    raw = np.frombuffer(content, np.uint8).reshape(-1, RECORD).astype(np.int64)
    x, y, polarity = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
    t = ((raw[:, 2] & 0x7F) << 16) | (raw[:, 3] << 8) | raw[:, 4]
    over = y == OVERFLOW_ROW
    t = (t + OVERFLOW * np.cumsum(over))[~over]
    x, y, polarity = (each[~over] for each in (x, y, polarity))
    if len(x) and max(x.max(), y.max()) >= SIZE:
        raise DataError(f"{place}: an event lies at ({x.max()}, {y.max()}), outside {SIZE}x{SIZE} pixels")
    order = np.argsort(t, kind="stable")
    return Events(t[order], flat(x, y, polarity, SIZE, down)[order])


def _located(root: Path | str | None) -> Path:
    base = root_folder(root)
    for name in ("nmnist", "N-MNIST"):
        if all((base / name / part).is_dir() for part in FULL):
            return base / name
    raise DataError(f"no folders Train and Test in {base / 'nmnist'}; unpack the official Train.zip and Test.zip there")


def _hash(paths: list[Path], folder: Path) -> str:
    """One hash over the names and contents of all files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(beginning(path, LARGEST)).digest())
    return digest.hexdigest()


def _split(paths: list[Path], sha256: str, binning: Binning) -> Split:
    side = SIZE // binning.down

    def make() -> Arrays:
        x = np.stack(list(_recordings(paths, binning))).reshape(len(paths), binning.steps, 2, side, side)
        return x, np.array([int(path.parent.name) for path in paths])

    return binned("nmnist", {"recordings": sha256}, binning.fields(), make)


def _recordings(paths: list[Path], binning: Binning) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    places = 2 * (SIZE // binning.down) ** 2
    for path in paths:
        yield frames(events(beginning(path, LARGEST), f"file {path}", binning.down), places, binning)
