"""Handwritten digits of 8 by 8 pixels, embedded: 1797 images, values 0 to 16, ten classes.

The test set of the UCI "Optical Recognition of Handwritten Digits" data set, as scikit-learn carries it
(``sklearn/datasets/data/digits.csv.gz``), repacked without loss. License: Creative Commons Attribution 4.0 (CC BY 4.0).

Source: E. Alpaydin, C. Kaynak, 1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49.
"""

import hashlib
from importlib import resources
from pathlib import Path

import torch

from spikequant.data.arrays import read_npz
from spikequant.data.dataset import DataSet, Split, paired
from spikequant.errors import DataError

FILE = "digits.npz"
SHA256 = "6f801551877abf69fbf3711373bb642a18dc933430a3385cd6febc235225ea6f"
TEST_EVERY = 5


def digits(root: Path | str | None = None) -> DataSet:
    """The embedded digits, 1437 to train and 360 held out; ``root`` is not used.

    The images are sorted by class, keeping their order, and every fifth is held out: the same 35 to 37 of each class
    always. Both splits show the same 13 writers, so the accuracy is that on new digits of known writers.

    >>> data = digits()
    >>> tuple(data.train.x.shape), tuple(data.test.x.shape), data.scale
    ((1437, 1, 8, 8), (360, 1, 8, 8), 16.0)

    Raises:
        DataError: the embedded file is absent or damaged.
    """
    arrays = read_npz(_embedded(), place=FILE)
    x, y = torch.from_numpy(arrays["x"]).unsqueeze(1), torch.from_numpy(arrays["y"])
    everything = paired(x, y, 10, FILE)
    by_class = everything.y.argsort(stable=True)
    held = torch.zeros(len(y), dtype=torch.bool)
    held[by_class[::TEST_EVERY]] = True
    train, test = Split(x[~held], everything.y[~held]), Split(x[held], everything.y[held])
    return DataSet("digits", train, test, classes=10, shape=(1, 8, 8), sha256={FILE: SHA256}, scale=16.0)


def _embedded() -> bytes:
    file = resources.files("spikequant.data") / FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}; install spikequant again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(f"{file} has sha256 {found}, must have {SHA256}; install spikequant again")
    return content
