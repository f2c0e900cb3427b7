"""Bit by bit: where the spikes of two networks on the same input part."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Tally:
    """How many bits of one layer were compared and differed, and the first time step at which any did."""

    bits: int = 0
    differing: int = 0
    first_difference: int | None = None

    @property
    def share(self) -> float:
        """The share of equal bits."""
        return 1 - self.differing / self.bits

    def add(self, differing_by_step: list[int], bits: int) -> None:
        """Take in one batch."""
        self.bits += bits
        self.differing += sum(differing_by_step)
        step = next((step for step, differing in enumerate(differing_by_step) if differing), None)
        if step is not None:
            self.first_difference = step if self.first_difference is None else min(step, self.first_difference)


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
