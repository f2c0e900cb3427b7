"""What every quantizer is, and those whose grid is fixed or lies over a range."""

import weakref
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import Gradient, Grid, Rounding, has_nan, snap, to, uniform
from spikequant.quantizers import ranges
from spikequant.quantizers.specs import QuantizerSpec, RangedSpec

STEPS = 2**32  # more time steps than a scan can have: draws never share noise


class Quantizer(nn.Module, ABC):
    """A grid for one tensor: ``forward`` snaps to it; ``observe`` and ``fit`` let data choose it.

    ``seed`` and ``layer`` name the noise of stochastic rounding; every training-mode read draws anew, evaluation
    repeats the same draw.
    """

    draws: Tensor

    def __init__(self, spec: QuantizerSpec, shape: tuple[int, ...], axis: int) -> None:
        super().__init__()
        self.spec, self.shape, self.axis = spec, shape, axis
        self.seed, self.layer = 0, 0
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    @property
    def rounding_rule(self) -> Rounding:
        """Rounding of ``spikequant.numerics``."""
        return self.spec.rounding_rule

    @property
    def gradient(self) -> Gradient:
        """Straight-through gradient."""
        return self.spec.gradient

    @property
    def needs_data(self) -> bool:
        """Whether values must be observed before there is a grid."""
        return type(self).observe is not Quantizer.observe

    @abstractmethod
    def grid(self) -> Grid:
        """The grid as it stands."""

    def observe(self, x: Tensor) -> None:
        """See values that the grid should fit; grids that data does not choose ignore them."""

    def fit(self) -> None:
        """Settle the grid on what was observed."""

    def advance(self, done: float) -> None:
        """Hear, before every epoch of a training, what share of it is done; grids without a schedule ignore it."""

    def noise(self, step: int, like: Tensor) -> Tensor | None:
        """Noise for one time step of a state ``[batch, ...]``, or None where rounding needs none.

        An element is named by its place within its sample: the order of the samples changes nothing, and hardware that runs
        one sample at a time can repeat it.
        """
        if self.rounding_rule != "stochastic":
            return None
        if self.training and step == 0:
            self.draws += 1
        index = torch.arange(like[0].numel(), device=like.device).reshape(like.shape[1:])
        return uniform(self.seed, self.layer, int(self.draws) * STEPS + step, index).expand(like.shape)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        noise = self.noise(0, x.unsqueeze(0))
        return snap(self.grid(), x, self.rounding_rule, self.gradient, None if noise is None else noise[0])

    def _rows(self, x: Tensor, per_channel: bool) -> Tensor:
        """``x`` as ``[channel, value]``, or ``[1, value]``; half types are widened.

        Raises:
            MismatchError: other channels than the quantizer was built for.
        """
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if not per_channel:
            return x.reshape(1, -1)
        channels = self.shape[self.axis]
        if self.axis >= x.ndim or x.shape[self.axis] != channels:
            raise MismatchError(f"{self.spec.label()} is for {channels} channels along axis {self.axis}, got shape {tuple(x.shape)}")
        return x.movedim(self.axis, 0).reshape(channels, -1)

    def extra_repr(self) -> str:
        """Shown when a model is printed."""
        return f"{self.spec.label()}, bits={self.spec.width}"


class LastRead:
    """Which tensor was read last, and at which of its versions: not a new one at an old address. A write to ``.data`` goes unseen."""

    def __init__(self) -> None:
        self.tensor: weakref.ref[Tensor] | None = None
        self.version = 0

    def was(self, x: Tensor) -> bool:
        """Whether it was ``x``, unchanged since."""
        return self.tensor is not None and self.tensor() is x and self.version == x._version

    def remember(self, x: Tensor) -> None:
        """``x`` is read; one made for inference has no versions, and is read anew every time."""
        self.tensor, self.version = (None, 0) if x.is_inference() else (weakref.ref(x), x._version)

    def __reduce__(self) -> tuple[type["LastRead"], tuple[()]]:
        return LastRead, ()  # a copy has read nothing


class Averaged(Quantizer):
    """A grid that hangs on a statistic of its values: ``fit`` takes its mean over the batches observed, ``settle_on`` that of one."""

    def __init__(self, spec: QuantizerSpec, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.seen: list[Tensor] = []
        self.read = LastRead()

    @abstractmethod
    def statistic(self, x: Tensor) -> Tensor:
        """What the grid hangs on, of one batch."""

    @abstractmethod
    def take(self, found: Tensor) -> None:
        """Put the grid on a statistic."""

    def joined(self, found: Tensor) -> Tensor:
        """The statistic of several batches, ``[batch, ...]``."""
        return found.mean(0)

    def observe(self, x: Tensor) -> None:
        """Keep the statistic of ``x``."""
        self.seen.append(self._of(x))

    def fit(self) -> None:
        """Settle the grid on what was observed."""
        if self.seen:
            self.take(self.joined(torch.stack(self.seen)))
            self.seen = []

    def settle_on(self, x: Tensor) -> None:
        """Settle the grid on ``x`` alone."""
        self.take(self._of(x))

    def renew(self, x: Tensor) -> None:
        """In training mode, settle on ``x`` once: a layer read in every step of a loop keeps the grid that backward needs."""
        if self.training and not self.read.was(x):
            self.settle_on(x)
            self.read.remember(x)

    def _of(self, x: Tensor) -> Tensor:
        ranges.refuse_non_finite(x, self.spec.label())
        return self.statistic(x.detach())


class Fixed(Quantizer):
    """A grid that its spec alone fixes."""

    def __init__(self, spec: QuantizerSpec, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.held = spec.grid()  # no buffers: ``half()`` would round their values

    def grid(self) -> Grid:
        """The grid, on the module's device."""
        self.held = to(self.held, self.draws)
        return self.held


class Fitted(Quantizer):
    """A grid over a range that data chose.

    A weight's range follows the weight: the first read after it changed, in training mode, reads the range anew. A state's
    range is observed during calibration and then stands.
    """

    low: Tensor
    high: Tensor

    def __init__(self, spec: RangedSpec, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.range_spec, self.observing = spec, spec.observing()
        rows = shape[axis] if self.observing.per_channel else 1
        self.register_buffer("low", torch.full((rows,), torch.nan))
        self.register_buffer("high", torch.full((rows,), torch.nan))
        self.seen: list[Tensor] = []
        self.read = LastRead()

    def grid(self) -> Grid:
        """The grid over the range as it stands.

        Raises:
            SpecError: no data was observed yet.
        """
        if has_nan(self.low):
            raise SpecError(f"{self.spec.label()} has seen no data yet: pass calibration=loader to quantize, or give a fixed range")
        return self._over(self.low, self.high)

    def observe(self, x: Tensor) -> None:
        """Keep a thinned sample of ``x``, its extremes among it."""
        ranges.refuse_non_finite(x, self.spec.label())
        rows = self._rows(x.detach(), self.observing.per_channel)
        stride = max(1, rows.shape[1] // ranges.SAMPLE)
        thinned = [rows[:, ::stride], rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)]
        self.seen.append(rows if stride == 1 else torch.cat(thinned, dim=1))

    def fit(self) -> None:
        """Settle the range on what was observed."""
        if self.seen:
            self._settle(torch.cat(self.seen, dim=1))
            self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        if self.training and not self.read.was(x):
            self._settle(self._rows(x.detach(), self.observing.per_channel))
            self.read.remember(x)
        return super().forward(x)

    def _over(self, low: Tensor, high: Tensor) -> Grid:
        if self.observing.per_channel:
            return self.range_spec.over(low, high, self.axis)
        return self.range_spec.over(low.squeeze(0), high.squeeze(0))

    def _settle(self, rows: Tensor) -> None:
        how = self.observing
        ends = ranges.minmax(rows)
        ranges.refuse_non_finite(rows, self.spec.label(), ends)
        if how.observer == "mean_square":
            found = ranges.mean_square(rows, self._trial)
        elif how.observer == "percentile":
            found = ranges.percentile(rows, how.percentile)
        else:
            found = ends
        low, high = ranges.widened(*(ranges.symmetric(*found) if how.symmetric else found))
        self.low.copy_(low)
        self.high.copy_(high)

    def _trial(self, low: Tensor, high: Tensor) -> Grid:
        if self.observing.symmetric:
            low, high = ranges.symmetric(low, high)
        low, high = ranges.widened(low, high)
        return self.range_spec.over(low, high, 0) if self.observing.per_channel else self._over(low, high)
