"""The neuron of Castagnetti et al.: it forgets nothing, and the threshold at which it fires, and which its spike is worth, is trained."""

from typing import Any

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.neurons.lif import LIF
from spikequant.neurons.sequence import as_given
from spikequant.numerics import positive, raw_of
from spikequant.numerics.scan import check

NORMAL_PERCENTILE = 3.09  # below which 99.9 % of what a batch norm gives lie


class TrainedThreshold(LIF):
    """``v += x; s = [v >= theta]; v -= theta s; out = theta s``, with ``theta = softplus(raw)``, one parameter a layer.

    A membrane begins at ``start`` thresholds. Over T steps of one current the mean output is that current on T + 1 levels
    from 0 to theta, rounded to the nearest where ``start`` is a half: the neuron is a quantizer whose range is trained.
    ``threshold`` is where theta starts; after a batch norm, 3.09 leaves 0.1 % of currents beyond.

    The concept is certain; the start of the membrane, the softplus and the first theta are our reading (``uncertain``).

    Shapes: as LIF; spikes are worth theta, and a listener hears them as 1.

    Raises:
        SpecError: as LIF, or a start outside [0, 1).

    Source: Castagnetti, Pegatoquet and Miramond, "Trainable quantization for speedy spiking neural networks", 2023, abstract.

    >>> TrainedThreshold(threshold=2.0)(torch.full((4, 1, 1), 1.0)).flatten().detach().tolist()
    [2.0, 0.0, 2.0, 0.0]
    """

    uncertain = True

    def __init__(self, threshold: float = NORMAL_PERCENTILE, start: float = 0.5, **lif: Any) -> None:
        if not 0 <= start < 1:
            raise SpecError(f"start must be from 0 to less than 1 threshold, got {start}; nearest valid value: {min(max(start, 0.0), 0.5)}")
        super().__init__(decay=1.0, threshold=threshold, **{"reset": "subtract", **lif})
        self.share = start
        self.raw = nn.Parameter(raw_of(threshold))

    @property
    def fires_at(self) -> Tensor:
        """The threshold as trained so far."""
        return positive(self.raw)

    def heard(self, spikes: Tensor) -> Tensor:
        """Spikes as 0 and 1."""
        return spikes / self.fires_at.detach().to(spikes.dtype)

    def counted(self, current: Tensor, steps: int | None, counts: Tensor | None) -> Tensor:
        """Spikes, each worth the threshold."""
        return super().counted(current, steps, counts) * as_given(self.fires_at, current)

    def quantize_constant(self, name: str, value: Tensor) -> None:
        """Refuse the threshold: it is a parameter that training moves.

        Raises:
            MismatchError: the constant is the threshold.
        """
        if name == "threshold":
            raise MismatchError("the threshold of this neuron is trained; leave it out of the constants")
        super().quantize_constant(name, value)

    def _resting(self, current: Tensor) -> Tensor | None:
        if not self.share:
            return None
        check(current, None)
        wide = torch.promote_types(current.dtype, torch.float32)
        return torch.zeros_like(current[0], dtype=wide) + (self.share * self.fires_at).to(wide)
