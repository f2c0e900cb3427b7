"""The quantizers of the field's methods."""

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.numerics import Affine, Gradient, Table, affine, chosen, integers, k_means, snap, through
from spikequant.numerics.grid import along
from spikequant.quantizers import ranges
from spikequant.quantizers.following import Following
from spikequant.quantizers.modules import Averaged
from spikequant.quantizers.specs import QSNNBinary, ReScaW, SpikeFit

LEAST = 2.0**-20


class Standardized(Averaged):
    """Q-SNN's two levels for each output channel; mean and scale follow the weight in training mode."""

    mean: Tensor
    scale: Tensor
    progress: Tensor

    def __init__(self, spec: QSNNBinary, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.register_buffer("mean", torch.zeros(shape[axis]))
        self.register_buffer("scale", torch.ones(shape[axis]))
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))
        self.done: float | None = None  # the same as a number, since looking at a buffer keeps a GPU from recording its steps
        self.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    @property
    def gradient(self) -> Gradient:
        """What a scan of membranes would take; the tanh belongs to weights."""
        return "pass"

    def grid(self) -> Table:
        """Plus and minus the scale, with the edge at the mean."""
        return Table(torch.stack([-self.scale, self.scale], dim=1), self.axis, self.mean.unsqueeze(1))

    def advance(self, done: float) -> None:
        """Sharpen the gradient as training goes on."""
        self.progress.fill_(done)
        self.done = done

    def statistic(self, x: Tensor) -> Tensor:
        """Mean and standardized magnitude of each channel."""
        rows = self._rows(x, per_channel=True)
        return torch.stack([rows.mean(1), _standard(rows).abs().mean(1).clamp(min=LEAST)])

    def take(self, found: Tensor) -> None:
        """Keep the means, and the nearest powers of two."""
        self.mean.copy_(found[0])
        self.scale.copy_(torch.exp2(torch.round(torch.log2(found[1]))))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        self.renew(x)
        value = super().forward(x.detach())
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        self.done = float(self.progress) if self.done is None else self.done
        sharpness = 0.1 * 100.0**self.done
        smooth = max(1 / sharpness, 1.0) * torch.tanh(sharpness * _standard(self._rows(x, per_channel=True))) * self.scale.unsqueeze(1)
        return through(value, smooth.reshape(x.movedim(self.axis, 0).shape).movedim(0, self.axis).to(x.dtype))


def _look_again(quantizer: nn.Module, _: object) -> None:
    quantizer.done = None  # type: ignore[assignment]


def _standard(rows: Tensor) -> Tensor:
    """Each row with mean 0 and unbiased deviation 1; a row of one value, or of equal ones, becomes 0."""
    centered = rows - rows.mean(1, keepdim=True)
    if rows.shape[1] == 1:
        return centered
    return centered / rows.std(1, keepdim=True).clamp(min=LEAST)


class Rescaled(Averaged):
    """QP-SNN's levels between minus and plus the mean magnitude of each channel, which follows the weight in training mode."""

    reach: Tensor

    def __init__(self, spec: ReScaW, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.rescaw = spec
        self.register_buffer("reach", torch.ones(shape[axis]))

    def grid(self) -> Affine:
        """Equally spaced, ends included."""
        return affine(-self.reach, self.reach, 2**self.rescaw.bits, self.axis)

    def statistic(self, x: Tensor) -> Tensor:
        """The mean magnitude of each channel."""
        return self._rows(x, per_channel=True).abs().mean(1).clamp(min=LEAST)

    def take(self, found: Tensor) -> None:
        """Reach as far."""
        self.reach.copy_(found)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        self.renew(x)
        if self.rescaw.ste == "identity":
            return super().forward(x)
        return through(super().forward(x.detach()), x / along(self.reach, x, self.axis).to(x.dtype))


class Clustered(Averaged):
    """SpikeFit's values of one layer, parameters; they start from the first values that they see."""

    started: Tensor

    def __init__(self, spec: SpikeFit, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.spikefit, self.top = spec, 2 ** (spec.value_bits - 1) - 1
        self.centers = nn.Parameter(torch.linspace(-1, 1, 2**spec.bits))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.seen_started = False

    def _begun(self) -> bool:
        """Whether there are values; looked up until there are, since looking at a buffer keeps a GPU from recording its steps."""
        self.seen_started = self.seen_started or bool(self.started)
        return self.seen_started

    def grid(self) -> Table:
        """The values as they are stored, ascending."""
        return Table(self._stored())

    @property
    def value_step(self) -> Tensor:
        """What the values are whole multiples of."""
        step: Tensor = self.centers.detach().abs().max().clamp(min=LEAST) / self.top
        return step

    def statistic(self, x: Tensor) -> Tensor:
        """The k-means of these weights."""
        flat = self._rows(x, per_channel=False).flatten()
        low, high = ranges.widened(flat.min(), flat.max())
        even = low + (high - low) * torch.linspace(0, 1, 2**self.spikefit.bits, device=x.device)
        return k_means(flat, even)

    @torch.no_grad()
    def take(self, found: Tensor) -> None:
        """Start the values there."""
        self.centers.copy_(found)
        self.started.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid.

        Raises:
            SpecError: evaluated before it saw any weights.
        """
        if self.training and not self._begun():
            self.settle_on(x)
        if not self._begun():
            raise SpecError(f"{self.spec.label()} has no values yet: train it, or let quantize start them from weights")
        return chosen(self._stored(), x)

    def _stored(self) -> Tensor:
        """The centers on their own grid of ``value_bits``, which passes their gradient."""
        return snap(integers(self.value_step, -self.top, 2 * self.top + 1), self.centers.sort().values)


class Squashed(Following):
    """Q-SNN's membrane: ``tanh``, and levels over the extremes of this step."""

    squash = True

    def grid(self) -> Table:
        """There is none: always raises.

        Raises:
            SpecError: says why.
        """
        raise SpecError(f"{self.spec.label()}: its range follows each step of the batch, so there is no one grid to export or store")

    def forward(self, x: Tensor) -> Tensor:
        """``tanh(x)`` on the grid over its own extremes."""
        return super().forward(torch.tanh(x))
