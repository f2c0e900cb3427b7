"""Accuracy at several evaluation batch sizes: the same for a sound network, not for one whose state ranges follow the batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from spikequant.behavior.recorder import pairs
from spikequant.errors import SpecError
from spikequant.training.accuracy import evaluate
from spikequant.training.outputs import Loader, batch_axis

SIZES = (1, 32, 128)


def accuracy_by_batch(model: nn.Module, loader: Loader, sizes: Sequence[int] = SIZES) -> dict[int, float]:
    """The accuracy on the same samples, in the same order, in batches of each size.

    Sequences ``[time, batch, ...]`` are cut along their batch, as ``batch_axis`` finds it.

    Raises:
        SpecError: a size below 1.

    >>> accuracy_by_batch(nn.Identity(), [(torch.eye(4), torch.tensor([0, 1, 2, 0]))], sizes=(1, 3))
    {1: 0.75, 3: 0.75}
    """
    if min(sizes, default=1) < 1:
        raise SpecError(f"an evaluation batch holds at least 1 sample, got sizes {tuple(sizes)}")
    return {size: evaluate(model, Rebatched(loader, size, model)) for size in sizes}


class Rebatched:
    """The samples of a loader in batches of another size, the last of which may be smaller, for a model."""

    def __init__(self, loader: Loader, size: int, model: object = None) -> None:
        self.loader, self.size, self.model, self.axis = loader, size, model, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the loader."""
        held: list[tuple[Tensor, Tensor]] = []
        for index, (x, y) in enumerate(pairs(self.loader)):
            self.axis = self.axis if index else batch_axis(self.model, x, y)  # of the first: the last may be as short as its events
            held.append((x, y))
            while sum(len(labels) for _, labels in held) >= self.size:
                whole_x, whole_y = self._joined(held)
                yield whole_x.narrow(self.axis, 0, self.size), whole_y[: self.size]
                rest = len(whole_y) - self.size
                held = [(whole_x.narrow(self.axis, self.size, rest), whole_y[self.size :])] if rest else []
        if held:
            yield self._joined(held)

    def _joined(self, held: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.cat([x for x, _ in held], dim=self.axis), torch.cat([y for _, y in held])
