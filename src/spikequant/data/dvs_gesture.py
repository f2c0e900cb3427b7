"""DVS128 Gesture: the official AEDAT files with their labels, split by the official lists of subject and lighting; 11 classes.

No hash of its single files is known to us: layout and lists are checked, and what is found is recorded.

Source: Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017 (CC BY 4.0).
"""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikequant.data.aedat import Polarity, polarity
from spikequant.data.binned import Arrays, binned
from spikequant.data.dataset import DataSet, Split
from spikequant.data.events import Binning, Counts, Events, flat, frames
from spikequant.data.official import root_folder
from spikequant.errors import DataError

SIZE, CLASSES = 128, 11
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
LARGEST = 2**31
TRAIN, TEST = Binning(steps=25, step_ms=40.0, down=4), Binning(steps=150, step_ms=40.0, down=4)


class Trial(NamedTuple):
    """One gesture of a recording: its class from 0, and the microseconds from which and to which it lasts."""

    label: int
    begin: int
    end: int


def dvs_gesture(root: Path | str | None = None, train: Binning = TRAIN, test: Binning = TEST) -> DataSet:
    """DVS128 Gesture from ``<root>/dvs-gesture``, else ``<root>/DvsGesture``: 32x32 pixels, steps of 40 ms, 25 to train and 150 to test.

    The paper gives the numbers of steps and not their length; 150 of 40 ms are the six seconds of a gesture.

    Raises:
        DataError: a list or a file that it names is absent or not what it should be.
    """
    if train.checked(SIZE).down != test.checked(SIZE).down:
        raise DataError(f"train and test must have pixels of one size, got down={train.down} and down={test.down}")
    folder = _located(root)
    hashes: dict[str, str] = {}
    splits = {}
    for part, binning in (("train", train), ("test", test)):
        names = _listed(folder / LISTS[part])
        found = {name: _hashed(folder / name) for name in names} | {_labels(name): _hashed(folder / _labels(name)) for name in names}
        hashes |= found
        splits[part] = _split(folder, names, found, binning)
    side = SIZE // train.down
    return DataSet("dvs-gesture", splits["train"], splits["test"], CLASSES, (2, side, side), hashes, scale=1.0)


def trials(text: str, place: str = "labels") -> list[Trial]:
    """The gestures of a labels file: ``class,startTime_usec,endTime_usec``, classes from 1.

    >>> trials("class,startTime_usec,endTime_usec\\n1,80048239,85092709\\n")
    [Trial(label=0, begin=80048239, end=85092709)]

    Raises:
        DataError: a line is not so, or a class is not 1 to 11.
    """
    found = []
    for number, row in enumerate(csv.reader(text.splitlines()[1:]), start=2):
        try:
            label, begin, end = map(int, row)
        except ValueError:
            raise DataError(f"{place}: line {number} is {','.join(row)!r}; must be class, begin and end in microseconds") from None
        if not (1 <= label <= CLASSES and 0 <= begin < end):
            raise DataError(f"{place}: line {number} has class {label} from {begin} to {end}; classes are 1 to {CLASSES}, times ascend")
        found.append(Trial(label - 1, begin, end))
    return found


def _located(root: Path | str | None) -> Path:
    base = root_folder(root)
    for name in ("dvs-gesture", "DvsGesture"):
        if (base / name / LISTS["train"]).is_file():
            return base / name
    raise DataError(f"no file {LISTS['train']} in {base / 'dvs-gesture'}; unpack the official DvsGesture.tar.gz there")


def _listed(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; it lists the recordings of one split") from None
    for name in names:
        if Path(name).name != name or not name.endswith(".aedat"):
            raise DataError(f"{path} lists {name!r}; must be names of .aedat files beside it")
    return names


def _labels(recording: str) -> str:
    return recording.removesuffix(".aedat") + "_labels.csv"


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has {path.stat().st_size} bytes, more than a recording can have ({LARGEST})")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; the official archive has it") from None


def _hashed(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def _split(folder: Path, names: list[str], hashes: dict[str, str], binning: Binning) -> Split:
    side = SIZE // binning.down

    def make() -> Arrays:
        cut = [each for name in names for each in _gestures(folder, name, binning)]
        if not cut:
            raise DataError(f"the recordings {', '.join(names) or 'of an empty list'} in {folder} hold no gesture")
        x = np.stack([counts for counts, _ in cut]).reshape(len(cut), binning.steps, 2, side, side)
        return x, np.array([label for _, label in cut])

    return binned("dvs-gesture", hashes, binning.fields(), make)


def _gestures(folder: Path, name: str, binning: Binning) -> Iterator[tuple[Counts, int]]:
    seen = polarity(_content(folder / name), f"file {folder / name}")
    if len(seen.t) and max(seen.x.max(), seen.y.max()) >= SIZE:
        raise DataError(f"file {folder / name}: an event lies at ({seen.x.max()}, {seen.y.max()}), outside {SIZE}x{SIZE} pixels")
    for trial in trials(_content(folder / _labels(name)).decode("ascii", "replace"), f"file {_labels(name)}"):
        yield frames(_cut(seen, trial, binning.down), 2 * (SIZE // binning.down) ** 2, binning), trial.label


def _cut(seen: Polarity, trial: Trial, down: int) -> Events:
    inside = (trial.begin <= seen.t) & (seen.t < trial.end)
    t, x, y, on = (each[inside] for each in seen)
    order = np.argsort(t, kind="stable")
    return Events(t[order], flat(x, y, on, SIZE, down)[order])
