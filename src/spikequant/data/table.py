"""The table of data sets: every name that can be read, and its reader."""

from collections.abc import Callable
from pathlib import Path

from spikequant.data.cifar import cifar10, cifar100
from spikequant.data.dataset import DataSet
from spikequant.data.digits import digits
from spikequant.data.dvs_gesture import dvs_gesture
from spikequant.data.fsdd import fsdd
from spikequant.data.idx import fashion_mnist, mnist
from spikequant.data.nmnist import nmnist, nmnist_17
from spikequant.data.shd import shd
from spikequant.errors import SpecError, unknown

READERS: dict[str, Callable[[Path | str | None], DataSet]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "nmnist": nmnist,
    "nmnist-17": nmnist_17,
    "shd": shd,
    "dvs-gesture": dvs_gesture,
    "fsdd": fsdd,
}


def names() -> list[str]:
    """The data sets that `load` can read.

    >>> names()
    ['digits', 'mnist', 'fashion-mnist', 'cifar10', 'cifar100', 'nmnist', 'nmnist-17', 'shd', 'dvs-gesture', 'fsdd']
    """
    return list(READERS)


def load(name: str, root: Path | str | None = None) -> DataSet:
    """A data set by name, from its folder under ``root``, else under ``SPIKEQUANT_DATA``, else ``~/.cache/spikequant``.

    >>> load("digits").classes
    10

    Raises:
        SpecError: the name is not in the table.
        DataError: a file is absent, damaged or not the official one.
    """
    if name not in READERS:
        raise SpecError(unknown("data set", str(name), READERS))
    return READERS[name](root)
