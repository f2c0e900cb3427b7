"""The quantizers: each owns what can be learned or fitted for one tensor, and answers ``grid()``."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.numerics import (
    Affine,
    Gradient,
    Grid,
    Rounding,
    Table,
    fit_basis,
    has_nan,
    integers,
    mixed,
    scale_gradient,
    snap,
    sorted_levels,
    start_basis,
    start_step,
    through,
    to,
    uniform,
)
from spikequant.quantizers import ranges
from spikequant.quantizers.specs import LSQ, Binary, LQNet, QuantizerSpec, RangedSpec, Uniform

FIT_STEPS = 200
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


def _version(x: Tensor) -> tuple[int, int]:
    """Changes whenever the tensor is written to, and is another one for a copy of it."""
    return x.data_ptr(), x._version


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
        self.read: tuple[int, int] | None = None

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
        self.seen.append(torch.cat([rows[:, ::stride], rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)], dim=1))

    def fit(self) -> None:
        """Settle the range on what was observed."""
        if self.seen:
            self._settle(torch.cat(self.seen, dim=1))
            self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        if self.training and _version(x) != self.read:
            ranges.refuse_non_finite(x, self.spec.label())
            self._settle(self._rows(x.detach(), self.observing.per_channel))
            self.read = _version(x)
        return super().forward(x)

    def _over(self, low: Tensor, high: Tensor) -> Grid:
        if self.observing.per_channel:
            return self.range_spec.over(low, high, self.axis)
        return self.range_spec.over(low.squeeze(0), high.squeeze(0))

    def _settle(self, rows: Tensor) -> None:
        how = self.observing
        if how.observer == "mean_square":
            found = ranges.mean_square(rows, self._trial)
        elif how.observer == "percentile":
            found = ranges.percentile(rows, how.percentile)
        else:
            found = ranges.minmax(rows)
        low, high = ranges.widened(*(ranges.symmetric(*found) if how.symmetric else found))
        self.low.copy_(low)
        self.high.copy_(high)

    def _trial(self, low: Tensor, high: Tensor) -> Grid:
        if self.observing.symmetric:
            low, high = ranges.symmetric(low, high)
        low, high = ranges.widened(low, high)
        return self.range_spec.over(low, high, 0) if self.observing.per_channel else self._over(low, high)


class LearnedBasis(Quantizer):
    """LQ-Net's basis per output channel. A training-mode read uses the basis stored before and then refits it."""

    basis: Tensor
    biased: Tensor
    fits: Tensor

    def __init__(self, spec: LQNet, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.lq = spec
        channels = shape[axis]
        per_channel = max(1, torch.Size(shape).numel() // channels)
        fan = per_channel if spec.fan == "fan_in" or len(shape) < 2 else per_channel // shape[1] * channels
        basis = start_basis(spec.bits, fan, channels)
        if spec.start == "clip" and spec.clip is not None:
            basis = (spec.clip / (2**spec.bits - 1) * 2.0 ** torch.arange(spec.bits)).expand(channels, spec.bits).clone()
        self.register_buffer("basis", basis)
        self.register_buffer("biased", torch.zeros_like(basis))
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        self.read: tuple[int, int] | None = None

    def grid(self) -> Grid:
        """The table of all signed sums, per channel."""
        return Table(sorted_levels(self.basis)[0], self.axis)

    def observe(self, x: Tensor) -> None:
        """Fit the basis to a weight that stands still, until it no longer moves (post-training)."""
        ranges.refuse_non_finite(x, self.spec.label())
        rows = self._clipped(self._rows(x.detach(), per_channel=True))
        if self.lq.start == "mse_uniform":
            reach = ranges.mean_square(rows, lambda low, high: Uniform(bits=self.lq.bits).over(*ranges.symmetric(low, high), 0))
            top = ranges.symmetric(*reach)[1] / (2**self.lq.bits - 1)
            self.basis.copy_(top.unsqueeze(1) * 2.0 ** torch.arange(self.lq.bits, device=top.device))
        for _ in range(FIT_STEPS):
            fitted = fit_basis(rows, self.basis, self.lq.ridge)
            moved = (fitted - self.basis).abs().max()
            self.basis.copy_(fitted)
            if moved <= 1e-7 * self.basis.abs().max():
                break

    def follow(self, x: Tensor) -> None:
        """Refit to membranes ``x`` once, as a read of a weight does (as Beyond Accuracy found, such grids collapse)."""
        ranges.refuse_non_finite(x, self.spec.label())
        self._average(fit_basis(self._clipped(self._rows(x.detach(), per_channel=True)), self.basis, self.lq.ridge))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid; what ``clip`` cuts off still passes its gradient on."""
        clipped = x if self.lq.clip is None else through(self._clipped(x), x)
        snapped = super().forward(clipped)
        if self.training and _version(x) != self.read:
            ranges.refuse_non_finite(x, self.spec.label())
            self._average(fit_basis(self._rows(clipped.detach(), per_channel=True), self.basis, self.lq.ridge))
            self.read = _version(x)
        return snapped

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.lq.clip is None else x.clamp(-self.lq.clip, self.lq.clip)

    def _average(self, fitted: Tensor) -> None:
        keep = self.lq.average
        if not self.lq.debiased:
            self.basis.mul_(keep).add_(fitted, alpha=1 - keep)
            return
        self.fits += 1
        self.biased.mul_(keep).add_(fitted, alpha=1 - keep)
        self.basis.copy_(self.biased / (1 - keep ** int(self.fits)))


class LearnedStep(Quantizer):
    """LSQ's step, a parameter; it starts from the first values that it sees."""

    started: Tensor

    def __init__(self, spec: LSQ, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.lsq = spec
        self.lowest = -(2 ** (spec.bits - 1)) if spec.signed else 0
        self.highest = self.lowest + 2**spec.bits - 1
        self.sharers = torch.Size(shape).numel() // (shape[axis] if spec.per_channel else 1)
        self.step = nn.Parameter(torch.ones(shape[axis] if spec.per_channel else ()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.seen_started = False

    def _begun(self) -> bool:
        """Whether there is a step; looked up until there is, since looking at a buffer keeps a GPU from recording its steps."""
        self.seen_started = self.seen_started or bool(self.started)
        return self.seen_started

    def grid(self) -> Affine:
        """Multiples of the step; its gradient is scaled as LSQ asks."""
        step = scale_gradient(self.step.abs().clamp(min=1e-8), (self.sharers * self.highest) ** -0.5)
        return integers(step, self.lowest, self.highest - self.lowest + 1, self.axis if self.lsq.per_channel else None)

    def observe(self, x: Tensor) -> None:
        """Start the step from these values."""
        ranges.refuse_non_finite(x, self.spec.label())
        with torch.no_grad():
            self.step.copy_(start_step(self._rows(x.detach(), self.lsq.per_channel), self.highest).reshape(self.step.shape))
            self.started.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid.

        Raises:
            SpecError: evaluated before it saw any values: the step would follow what is evaluated.
        """
        if self.training and not self._begun():
            self.observe(x)
        if not self._begun():
            raise SpecError(f"{self.spec.label()} has no step yet: train it, or let quantize start it from data")
        return super().forward(x)


class TwoLevels(Quantizer):
    """A sign, times one or times the mean magnitude of its channel.

    ``frozen`` is there while training freezes values progressively: free values are clipped to [-1, 1], and a frozen one passes no
    gradient unless ``straight_through``. Without it all are hard, with the gradient that the spec asks for.
    """

    scale: Tensor
    frozen: Tensor | None

    def __init__(self, spec: Binary, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.binary, self.averaged = spec, spec.scale == "mean"
        self.straight_through = False
        self.register_buffer("scale", torch.ones(shape[axis]) if self.averaged else torch.ones(()))
        self.register_buffer("frozen", None)

    @property
    def gradient(self) -> Gradient:
        """Straight-through gradient, as a scan of membranes takes it."""
        return "mask" if self.binary.gradient == "unit" else self.binary.gradient

    @property
    def needs_data(self) -> bool:
        """Whether the scale is an average."""
        return self.averaged

    def grid(self) -> Affine:
        """Plus and minus the scale."""
        step = 2 * self.scale.float()
        return Affine(step, -torch.ones_like(step), torch.full_like(step, 0.5), 2, self.axis if self.averaged else None)

    def observe(self, x: Tensor) -> None:
        """Take the scale from these values."""
        ranges.refuse_non_finite(x, self.spec.label())
        if self.averaged:
            self.scale.copy_(self._rows(x.detach(), per_channel=True).abs().mean(1).clamp(min=1e-8))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid, or on its way there."""
        if self.training:
            self.observe(x)
        if self.frozen is not None:
            return mixed(x, super().forward(x.detach()), self.frozen, self.straight_through)
        if self.binary.gradient != "unit":
            return super().forward(x)
        return mixed(x, super().forward(x.detach()), torch.ones_like(x, dtype=torch.bool), straight_through=True)
