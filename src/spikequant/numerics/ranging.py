"""Grids whose range follows the values that they round, as SQUAT's paper has it: found anew in every forward pass."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Grid
from spikequant.numerics.soundness import holds, recording

Scope = Literal["step_batch", "sequence_batch", "sample"]
Over = Callable[[Tensor, Tensor, int | None], Grid]


class Ranging(NamedTuple):
    """A grid over the extremes of what it rounds.

    ``over(low, high, axis)`` gives the grid of a range. ``scope`` says of what the extremes are taken: ``step_batch``, the membranes of
    one time step of the whole batch (SQUAT's reading: "recalculated for each forward-pass"); ``sequence_batch``, those of all steps;
    ``sample``, those of all steps of each sample alone, which does not depend on the batch.
    """

    over: Over
    scope: Scope

    def of(self, x: Tensor) -> Grid:
        """The grid for values ``[batch, ...]`` that stand alone: one for all, or one for each sample.

        Raises:
            SpecError: a value is NaN or infinite.

        >>> from spikequant.numerics import affine, levels
        >>> following = Ranging(lambda low, high, axis: affine(low, high, 3, axis), "sample")
        >>> levels(following.of(torch.tensor([[0.0, 1.0], [-4.0, 0.0]]))).tolist()
        [[0.0, 0.5, 1.0], [-4.0, -2.0, 0.0]]
        """
        return self.spanning(*extremes(x.detach(), self.scope == "sample"))

    def spanning(self, low: Tensor, high: Tensor) -> Grid:
        """The grid from ``low`` to ``high``: scalars, or ``[batch]`` along the first axis.

        It is made on the processor, wherever the membranes are: both ends come over in one copy, which their check waits for anyway,
        and a grid is dozens of operations on a few numbers. ``snap`` sends it back. A step that is recorded as a CUDA graph stays there.
        """
        ends = torch.stack([low, high]).float()
        low, high = ends = ends if recording() else ends.cpu()
        if not holds(torch.isfinite(ends)):
            raise SpecError("a range that follows the membrane met one that is NaN or infinite; look at the layer before it")
        return self.over(low, high, 0 if low.ndim else None)


def extremes(x: Tensor, per_sample: bool) -> tuple[Tensor, Tensor]:
    """The smallest and largest value of ``[batch, ...]``, or of each sample."""
    rows = x.reshape(len(x), -1) if per_sample else x.reshape(-1)
    return rows.amin(-1), rows.amax(-1)
