"""Bit by bit: where the spikes of two networks on the same input part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor


@dataclass
class Tally:
    """How many bits of one layer were compared, and how many differed, at each time step."""

    compared: list[int] = field(default_factory=list)
    differed: list[int] = field(default_factory=list)

    @property
    def bits(self) -> int:
        """Compared over all steps."""
        return sum(self.compared)

    @property
    def differing(self) -> int:
        """Differing over all steps."""
        return sum(self.differed)

    @property
    def first_difference(self) -> int | None:
        """The first time step, from 0, at which any bit differs, None if none does."""
        return next((step for step, differing in enumerate(self.differed) if differing), None)

    @property
    def disagreement(self) -> tuple[float, ...]:
        """The share of differing bits at each time step."""
        return tuple(differing / bits for differing, bits in zip(self.differed, self.compared, strict=True))

    @property
    def share(self) -> float:
        """The share of equal bits."""
        return 1 - self.differing / self.bits

    def add(self, differing_by_step: list[int], bits: int) -> None:
        """Take in one batch."""
        each = [bits // len(differing_by_step)] * len(differing_by_step)
        self.compared = [had + more for had, more in zip_longest(self.compared, each, fillvalue=0)]
        self.differed = [had + more for had, more in zip_longest(self.differed, differing_by_step, fillvalue=0)]


class Agreement:
    """Compares the spikes of a reference and a network, one batch at a time: first the one runs, then the other.

    ``pairs`` names for each layer of the reference the layer of the network that answers it.
    """

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._references = {theirs: ours for ours, theirs in pairs.items()}
        self._held: dict[str, Tensor] = {}
        self.layers: dict[str, Tally | None] = {name: Tally() for name in pairs}

    def hold(self, name: str, spikes: Tensor) -> None:
        """Listener of the reference: keeps this batch's spikes as bits."""
        self._held[name] = spikes.bool()

    def check(self, name: str, spikes: Tensor) -> None:
        """Listener of the network: counts the bits that differ; a layer of another shape has no agreement."""
        reference = self._references[name]
        held, tally = self._held.pop(reference), self.layers[reference]
        if held.shape != spikes.shape:
            self.layers[reference] = None
        elif tally is not None:
            differing = held.to(spikes.device) != spikes.bool()
            by_step: list[int] = torch.stack([step.count_nonzero() for step in differing]).tolist()
            tally.add(by_step, differing.numel())
