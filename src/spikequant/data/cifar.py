"""CIFAR-10 and CIFAR-100: the official binary version.

CIFAR-10's hashes are of the files whose md5 is the known one. No hash of CIFAR-100's single files is known to us: their
size, labels and class counts are checked, and the hash found is recorded, so that two runs can be seen to share data.

Source: https://www.cs.toronto.edu/~kriz/cifar.html; A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from spikequant.data.dataset import DataSet, Split, paired
from spikequant.data.official import Official, locate, read
from spikequant.errors import DataError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

CIFAR10 = (
    Official("data_batch_1.bin", 30_730_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    Official("data_batch_2.bin", 30_730_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    Official("data_batch_3.bin", 30_730_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    Official("data_batch_4.bin", 30_730_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    Official("data_batch_5.bin", 30_730_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    Official("test_batch.bin", 30_730_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
)
CIFAR100 = (Official("train.bin", 153_700_000), Official("test.bin", 30_740_000))


def cifar10(root: Path | str | None = None) -> DataSet:
    """CIFAR-10 from ``<root>/cifar10``, or from its archive's folder ``cifar-10-batches-bin`` there or in the root."""
    return read_set("cifar10", CIFAR10, "cifar-10-batches-bin", (10,), root)


def cifar100(root: Path | str | None = None) -> DataSet:
    """CIFAR-100 with its fine labels from ``<root>/cifar100``, or from its archive's folder ``cifar-100-binary`` there or in the root."""
    return read_set("cifar100", CIFAR100, "cifar-100-binary", (20, 100), root)


def read_set(name: str, files: Sequence[Official], archive: str, limits: tuple[int, ...], root: Path | str | None) -> DataSet:
    """A set from its files, the last of them the test set; ``limits`` as in `parse`.

    Raises:
        DataError: a file is absent, not the published one, or holds what cannot be.
    """
    folder = locate(root, (name, f"{name}/{archive}", archive), files)
    hashes: dict[str, str] = {}
    splits = []
    for file in files:
        content, hashes[file.name] = read(file, folder)
        splits.append(parse(content, limits, f"file {file.name} in folder {folder}"))
    train = Split(torch.cat([split.x for split in splits[:-1]]), torch.cat([split.y for split in splits[:-1]]))
    for split, kind in ((train, "train"), (splits[-1], "test")):
        _balanced(split, limits[-1], f"{kind} files in folder {folder}")
    return DataSet(name, train, splits[-1], classes=limits[-1], shape=SHAPE, sha256=hashes)


def parse(content: bytes, limits: tuple[int, ...], place: str = "CIFAR content") -> Split:
    """Images and labels of a binary batch; ``limits`` has the number of classes of each label byte, the last is used.

    Layout of a record: the label bytes (CIFAR-100: coarse, fine), then 1024 red, green and blue bytes, row by row.

    >>> parse(bytes([7] + 3072 * [255]), limits=(10,)).y.tolist()
    [7]

    Raises:
        DataError: not a whole number of records, or a label out of range.
    """
    record = len(limits) + PIXELS
    if len(content) % record:
        raise DataError(f"{place}: {len(content)} bytes must be a multiple of the record of {record} bytes")
    records = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(-1, record).copy())
    images = records[:, len(limits) :].reshape(-1, *SHAPE)
    split = Split(images, records[:, 0])
    for column, classes in enumerate(limits):
        split = paired(images, records[:, column], classes, place)
    return split


def _balanced(split: Split, classes: int, place: str) -> None:
    counts = torch.bincount(split.y, minlength=classes)
    if counts.min() != counts.max():
        least, most = int(counts.argmin()), int(counts.argmax())
        raise DataError(
            f"{place}: class {least} has {counts[least]} images and class {most} has {counts[most]}; all must have equally many"
        )
