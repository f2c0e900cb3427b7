"""The quantizers that learn with the network: LQ-Net's basis, LSQ's step, and the scale of binary values."""

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.numerics import (
    Affine,
    Gradient,
    Grid,
    Table,
    fit_basis,
    integers,
    mixed,
    scale_gradient,
    sorted_levels,
    start_basis,
    start_step,
    through,
)
from spikequant.quantizers import ranges
from spikequant.quantizers.modules import Averaged, LastRead, Quantizer
from spikequant.quantizers.specs import LSQ, Binary, LQNet, Uniform

FIT_STEPS = 200


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
        weights = axis == 0 and len(shape) > 1  # states have no fan-out
        fan = per_channel // shape[1] * channels if weights and spec.fan == "fan_out" else per_channel
        basis = start_basis(spec.bits, fan, channels)
        if spec.start == "clip" and spec.clip is not None:
            basis = (spec.clip / (2**spec.bits - 1) * 2.0 ** torch.arange(spec.bits)).expand(channels, spec.bits).clone()
        self.register_buffer("basis", basis)
        self.register_buffer("biased", torch.zeros_like(basis))
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        self.seen: list[Tensor] = []
        self.read = LastRead()

    def grid(self) -> Grid:
        """The table of all signed sums, per channel."""
        return Table(sorted_levels(self.basis)[0], self.axis)

    def observe(self, x: Tensor) -> None:
        """Keep a thinned sample of ``x``."""
        ranges.refuse_non_finite(x, self.spec.label())
        self.seen.append(ranges.thinned(self._clipped(self._rows(x.detach(), per_channel=True))))

    def fit(self) -> None:
        """Fit the basis to what was observed, until it no longer moves (post-training)."""
        if not self.seen:
            return
        rows, self.seen = torch.cat(self.seen, dim=1), []
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
        if self.training and not self.read.was(x):
            ranges.refuse_non_finite(x, self.spec.label())
            self._average(fit_basis(self._rows(clipped.detach(), per_channel=True), self.basis, self.lq.ridge))
            self.read.remember(x)
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
        self.basis.copy_(self.biased / (1 - keep ** self.fits.double()))  # a look at the count would keep a GPU from recording the step


class LearnedStep(Averaged):
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

    def statistic(self, x: Tensor) -> Tensor:
        """The step to start from for these values."""
        return start_step(self._rows(x, self.lsq.per_channel), self.highest)

    @torch.no_grad()
    def take(self, found: Tensor) -> None:
        """Start the step there."""
        self.step.copy_(found.reshape(self.step.shape))
        self.started.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid.

        Raises:
            SpecError: evaluated before it saw any values: the step would follow what is evaluated.
        """
        if self.training and not self._begun():
            self.settle_on(x)
        if not self._begun():
            raise SpecError(f"{self.spec.label()} has no step yet: train it, or let quantize start it from data")
        return super().forward(x)


class TwoLevels(Averaged):
    """A sign, times one or times the mean magnitude of its channel.

    ``frozen`` is there while training freezes values progressively: free values are clipped to [-1, 1], and a frozen one passes no
    gradient unless ``straight_through``. Without it all are hard, with the gradient that the spec asks for. ``blocked``: all are
    frozen and pass nothing, so that no backward pass need come here.
    """

    scale: Tensor
    frozen: Tensor | None

    def __init__(self, spec: Binary, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(spec, shape, axis)
        self.binary, self.averaged = spec, spec.scale == "mean"
        self.straight_through = self.blocked = False
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

    def statistic(self, x: Tensor) -> Tensor:
        """The mean magnitudes, where the scale is one."""
        return self._rows(x, per_channel=True).abs().mean(1).clamp(min=1e-8) if self.averaged else self.scale

    def take(self, found: Tensor) -> None:
        """Keep the scale."""
        self.scale.copy_(found)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid, or on its way there."""
        self.renew(x)
        if self.frozen is not None:
            if self.blocked:
                return super().forward(x.detach())
            return mixed(x, super().forward(x.detach()), self.frozen, self.straight_through)
        if self.binary.gradient != "unit":
            return super().forward(x)
        return mixed(x, super().forward(x.detach()), torch.ones_like(x, dtype=torch.bool), straight_through=True)
