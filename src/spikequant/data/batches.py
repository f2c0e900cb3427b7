"""Batches of a split held in memory, in an order that seed and epoch alone decide."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from spikequant.data.dataset import DataSet, Split
from spikequant.errors import SpecError

Augment = Callable[[Tensor, Generator], Tensor]


class Batches:
    """Batches ``(x, y)``: x float32 ``[batch, c, h, w]`` in [0, 1], y int64 ``[batch]``; the last may be smaller.
    Sequences come as event counts ``[time, batch, ...]``. They are made where the split lies; what is drawn is the same on every device.

    Without a seed in order; with one shuffled anew for every epoch. An epoch's order and augmentation depend on
    ``(seed, epoch)`` only, so these two numbers resume a run. ``augment`` maps ``(x, generator)`` to x.

    >>> split = Split(torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1), torch.arange(5))
    >>> [y.tolist() for _, y in Batches(split, batch_size=2, scale=4.0)]
    [[0, 1], [2, 3], [4]]

    Raises:
        SpecError: no split, or samples and classes that are not equally many; batch size below 1, scale not above 0, seed or epoch below 0,
            or augmentation without a seed.
    """

    def __init__(self, split: Split, batch_size: int, scale: float, seed: int | None = None, augment: Augment | None = None) -> None:
        _refuse_unsound(split)
        if batch_size < 1:
            raise SpecError(f"batch_size {batch_size} must be at least 1")
        if not scale > 0:
            raise SpecError(f"scale {scale} must be above 0; it is 255.0 for pixels of a byte")
        if seed is not None and seed < 0:
            raise SpecError(f"seed {seed} must be at least 0")
        if augment is not None and seed is None:
            raise SpecError("augment draws at random and needs a seed; give seed=0")
        self.split, self.batch_size, self.scale = split, batch_size, scale
        self.seed, self.augment, self.epoch = seed, augment, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation the next pass takes."""
        if epoch < 0:
            raise SpecError(f"epoch {epoch} must be at least 0")
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of batches in one pass."""
        return math.ceil(len(self.split.y) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the split."""
        count = len(self.split.y)
        generator = None if self.seed is None else _generator(self.seed, self.epoch)
        order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
        order = order.to(self.split.x.device)
        for start in range(0, count, self.batch_size):
            index = order[start : start + self.batch_size]
            x = self.split.x[index].float() / self.scale
            if self.augment is not None and generator is not None:
                x = self.augment(x, generator)
            yield x.transpose(0, 1) if self.split.sequence else x, self.split.y[index]


def _refuse_unsound(split: Split) -> None:
    if isinstance(split, DataSet):
        raise SpecError(f"batches are those of a split: give {split.name}.train or {split.name}.test")
    if len(split.x) != len(split.y):
        raise SpecError(f"a split has a class for each sample, got {len(split.x)} samples and {len(split.y)} classes")


def _generator(*entropy: int) -> Generator:
    # Mixed, since neighboring seeds of the generator itself would let (seed, epoch + 1) repeat (seed + 1, epoch).
    return Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """The split without a share of every class, and that share; both in the old order.

    Of a class of n samples, ``round(fraction * n)`` are held out, drawn by ``seed``.

    >>> split = Split(torch.zeros(20, 1, 1, 1, dtype=torch.uint8), torch.arange(20) // 10)
    >>> kept, held = hold_out(split, 0.3, seed=0)
    >>> kept.y.bincount().tolist(), held.y.bincount().tolist()
    ([7, 7], [3, 3])

    Raises:
        SpecError: no split, fraction outside (0, 1), a seed below 0, or a part that would be empty.
    """
    _refuse_unsound(split)
    if not 0 < fraction < 1:
        raise SpecError(f"fraction {fraction} must lie between 0 and 1, both excluded; 0.1 is usual")
    if seed < 0:
        raise SpecError(f"seed {seed} must be at least 0")
    order = torch.randperm(len(split.y), generator=_generator(seed))
    held = torch.zeros(len(split.y), dtype=torch.bool)
    for label in set(split.y.tolist()):
        members = order[split.y[order] == label]
        held[members[: round(fraction * len(members))]] = True
    if held.all() or not held.any():
        raise SpecError(f"fraction {fraction} of {len(split.y)} samples leaves one part empty; take one nearer to 0.5")
    return split._replace(x=split.x[~held], y=split.y[~held]), split._replace(x=split.x[held], y=split.y[held])


def crop_and_flip(padding: int = 4) -> Augment:
    """Augmentation: pad with zeros, cut the old size at a random place, mirror left to right with probability 1/2.

    Each image of ``x [batch, c, h, w]`` draws its own place, of ``(2 * padding + 1) ** 2``, and its own mirror.

    >>> augmented = crop_and_flip(padding=0)(torch.tensor([[[[1.0, 2.0]]]]), Generator().manual_seed(0))
    >>> sorted(augmented.flatten().tolist())
    [1.0, 2.0]

    Raises:
        SpecError: padding below 0, or other than images.
    """
    if padding < 0:
        raise SpecError(f"padding {padding} must be at least 0")

    def augment(x: Tensor, generator: Generator) -> Tensor:
        if x.ndim != 4:
            raise SpecError(f"crop_and_flip takes images [batch, c, h, w], got shape {list(x.shape)}; leave augment out")
        batch, channels, height, width = x.shape
        top, left = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator)
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        top, left, mirrored = torch.stack([top, left, mirrored]).to(x.device)
        along = torch.arange(max(height, width), device=x.device)
        rows = top + along[:height]
        columns = left + torch.where(mirrored.bool(), along[:width].flip(0), along[:width])
        padded = pad(x, [padding] * 4).flatten(2)
        # One gather by flat places: at least four times as fast as an index per axis.
        places = (rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]).flatten(1)
        return padded.gather(2, places[:, None].expand(-1, channels, -1)).reshape(x.shape)

    return augment
