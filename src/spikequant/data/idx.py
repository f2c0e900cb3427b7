"""MNIST and Fashion-MNIST: the official IDX files, packed or plain.

The hashes are of the files whose md5 is the published one: by the authors for Fashion-MNIST, by torchvision for MNIST.

Sources: http://yann.lecun.com/exdb/mnist/ (format), LeCun et al. 1998; Xiao et al. 2017, arXiv:1708.07747 (MIT license).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikequant.data.dataset import DataSet, Split, paired
from spikequant.data.official import Official, locate, read
from spikequant.errors import DataError

UNSIGNED_BYTE = 0x08


def _packed(name: str, size: int, sha256: str, gz_size: int, gz_sha256: str) -> Official:
    return Official(name, size, sha256, Official(f"{name}.gz", gz_size, gz_sha256))


MNIST = (
    _packed(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    _packed(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    _packed(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    _packed(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
FASHION_MNIST = (
    _packed(
        "train-images-idx3-ubyte",
        47_040_016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    _packed(
        "train-labels-idx1-ubyte",
        60_008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    _packed(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    _packed(
        "t10k-labels-idx1-ubyte",
        10_008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)


def mnist(root: Path | str | None = None) -> DataSet:
    """MNIST from ``<root>/mnist``, else from torchvision's ``<root>/MNIST/raw``."""
    return read_set("mnist", MNIST, ("mnist", "MNIST/raw"), root)


def fashion_mnist(root: Path | str | None = None) -> DataSet:
    """Fashion-MNIST from ``<root>/fashion-mnist``, else from torchvision's ``<root>/FashionMNIST/raw``."""
    return read_set("fashion-mnist", FASHION_MNIST, ("fashion-mnist", "FashionMNIST/raw"), root)


def read_set(name: str, files: Sequence[Official], folders: Sequence[str], root: Path | str | None) -> DataSet:
    """A set of ten classes from its four files: images and labels to train, images and labels to test.

    Raises:
        DataError: a file is absent, not the published one, or does not fit the others.
    """
    folder = locate(root, folders, files)
    hashes: dict[str, str] = {}
    tensors = []
    for file, axes in zip(files, (3, 1, 3, 1), strict=True):
        content, hashes[file.name] = read(file, folder)
        tensors.append(parse(content, axes, f"file {file.name} in folder {folder}"))
    train, test = (
        _split(images, labels, f"{kind} files in folder {folder}")
        for images, labels, kind in ((tensors[0], tensors[1], "train"), (tensors[2], tensors[3], "t10k"))
    )
    shape, other = tuple(train.x.shape[1:]), tuple(test.x.shape[1:])
    if shape != other:
        raise DataError(f"folder {folder}: train images of shape {shape} and t10k images of shape {other} must have one shape")
    return DataSet(name, train, test, classes=10, shape=shape, sha256=hashes)


def _split(images: Tensor, labels: Tensor, place: str) -> Split:
    return paired(images.unsqueeze(1), labels, 10, place)


def parse(content: bytes, axes: int, place: str = "IDX content") -> Tensor:
    """The uint8 tensor of an IDX file with this number of axes.

    Layout: ``0 0 8 axes``, one big-endian uint32 per axis, then the values, last axis fastest.

    >>> parse(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), axes=1).tolist()
    [7, 9]

    Raises:
        DataError: wrong magic number, or sizes that do not fit the number of bytes.
    """
    magic = bytes([0, 0, UNSIGNED_BYTE, axes])
    if content[:4] != magic:
        raise DataError(f"{place}: magic number {content[:4].hex()!r} must be {magic.hex()!r} (unsigned bytes, {axes} axes)")
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{place}: {len(content)} bytes, must have a header of {start}")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if 0 in shape or math.prod(shape) != len(content) - start:
        raise DataError(f"{place}: sizes {shape} must be positive and their product the {len(content) - start} bytes after the header")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
