"""The quantizer whose levels are the means of the membranes, but for those at rest and threshold."""

import torch
from torch import Tensor

from spikequant.numerics import Table, fit_levels, levels
from spikequant.quantizers import ranges
from spikequant.quantizers.learned import FIT_STEPS
from spikequant.quantizers.modules import Quantizer
from spikequant.quantizers.specs import Anchored, Membrane


class MembraneLevels(Quantizer):
    """One table of levels for a whole layer; a neuron in training shows it the membranes after each scan (``follow``)."""

    values: Tensor
    held: Tensor

    def __init__(self, spec: Membrane, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.membrane = spec
        start = levels(Anchored(bits=spec.bits, threshold=spec.threshold, below=spec.lower).grid())
        places = torch.arange(len(start))
        anchors = (places == spec.lower) | (places == len(start) - 1)
        self.register_buffer("values", start.clone())
        self.register_buffer("held", anchors & torch.tensor(spec.anchors))
        self.seen: list[Tensor] = []

    def grid(self) -> Table:
        """The levels as they stand; a copy, since the next batch moves them while backward still needs these."""
        return Table(self.values.float().clone())

    def observe(self, x: Tensor) -> None:
        """Keep a thinned sample of ``x``."""
        ranges.refuse_non_finite(x, self.spec.label())
        flat = x.detach().float().flatten()
        self.seen.append(flat[:: max(1, len(flat) // ranges.SAMPLE)])

    def fit(self) -> None:
        """Fit the levels to what was observed, until they no longer move."""
        if not self.seen:
            return
        seen, self.seen = torch.cat(self.seen), []
        for _ in range(FIT_STEPS):
            fitted = fit_levels(seen, self.values, self.held)
            moved = (fitted - self.values).abs().max()
            self.values.copy_(fitted)
            if moved <= 1e-6 * self.values.abs().max():
                break

    def follow(self, x: Tensor) -> None:
        """Move some way to the means of these membranes, as they were before they were rounded."""
        if self.membrane.fit == "calibrated":
            return
        ranges.refuse_non_finite(x, self.spec.label())
        keep, fitted = self.membrane.average, fit_levels(x.detach().float(), self.values, self.held)
        self.values.copy_(torch.where(self.held, self.values, keep * self.values + (1 - keep) * fitted))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid; in training mode the levels then follow it."""
        snapped = super().forward(x)
        if self.training:
            self.follow(x)
        return snapped
