"""The quantizer whose range follows what it rounds; nothing is kept between two calls."""

from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Grid, Ranging, snap
from spikequant.quantizers import ranges
from spikequant.quantizers.modules import Quantizer
from spikequant.quantizers.specs import RangedSpec


class Following(Quantizer):
    """A grid over the extremes of what it rounds, found anew in every call.

    A neuron takes its ``ranging``; a tensor ``[batch, ...]`` given to ``forward`` counts as one step.
    """

    def __init__(self, spec: RangedSpec, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.range_spec = spec

    @property
    def ranging(self) -> Ranging:
        """How a scan finds the grid."""
        if self.range_spec.scope is None:
            raise SpecError(f"{self.spec.label()} stands still")
        return Ranging(self._over, self.range_spec.scope)

    def grid(self) -> Grid:
        """There is none: always raises.

        Raises:
            SpecError: says why, and what to use.
        """
        raise SpecError(
            f"{self.spec.label()}: its range follows each {self.range_spec.scope}, so there is no one grid to export or store; "
            "use range='frozen'"
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid over its own extremes."""
        noise = self.noise(0, x.unsqueeze(0))
        return snap(self.ranging.of(x), x, self.rounding_rule, self.spec.gradient, None if noise is None else noise[0])

    def _over(self, low: Tensor, high: Tensor, axis: int | None) -> Grid:
        return self.range_spec.over(*ranges.widened(low, high), axis)
