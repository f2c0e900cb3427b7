"""What every reader returns: a data set with its two splits."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from spikequant.errors import DataError


class Split(NamedTuple):
    """Samples ``x`` uint8 ``[n, c, h, w]`` and their classes ``y`` int64 ``[n]``.

    A ``sequence`` has samples ``[n, time, ...]`` of event counts; its batches come time first.
    """

    x: Tensor
    y: Tensor
    sequence: bool = False

    def to(self, device: torch.device | str) -> "Split":
        """The same samples on a device; batches are made where their split lies."""
        return self._replace(x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set in memory: ``shape`` is that of one sample (of one step of a sequence), ``scale`` what pixels are divided by to lie in
    [0, 1]; event counts are left as they are.

    ``sha256`` maps each official file to the hash of its unpacked content, so that a packed and a plain copy are
    known to be the same data.
    """

    name: str
    train: Split
    test: Split
    classes: int
    shape: tuple[int, ...]
    sha256: dict[str, str]
    scale: float = 255.0


def paired(x: Tensor, y: Tensor, classes: int, place: str) -> Split:
    """The split of samples and labels that belong together.

    Raises:
        DataError: there are none, their numbers differ, or a label is not below ``classes``.
    """
    if len(x) == 0 or len(x) != len(y):
        raise DataError(f"{place}: {len(x)} samples and {len(y)} labels; the two must be equally many, and at least one")
    outside = (y >= classes).nonzero()
    if len(outside):
        first = int(outside[0])
        raise DataError(f"{place}: label {int(y[first])} of sample {first} must be at most {classes - 1}")
    return Split(x, y.long())
