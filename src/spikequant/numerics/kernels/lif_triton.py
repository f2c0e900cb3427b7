"""The GPU twin of ``lif_scan``: Triton, the time loop in registers over blocks of neurons.

Tested through Triton's interpreter, and on an H100: spikes and membranes equal the reference bit for bit, gradients to rounding.
Division is IEEE and fused multiply-add is off. Backward recomputes from the current, as the C twin does. Triton comes with torch's CUDA
wheels: it is no dependency of this package, and ``spikequant.numerics.twins`` imports this file for CUDA tensors only. Refusing NaN
costs one synchronization a call, but for calls that a CUDA graph records.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
# ruff: noqa: PLR0913 - a kernel takes its pointers one by one

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Affine, Table
from spikequant.numerics.kernels.back_triton import charge_back, fire_back
from spikequant.numerics.kernels.first_order import refuse_second_order
from spikequant.numerics.kernels.lif_native import computes, learned, memory_order, watchable
from spikequant.numerics.kernels.step_triton import Settings, advance
from spikequant.numerics.scan import HALF, Dynamics, State
from spikequant.numerics.snap import TEMPERATURE, midpoints
from spikequant.numerics.soundness import recording

BLOCK = 512


def fits(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """Whether the twin covers this call, in which threshold and step may be learned; where it does not, the reference runs.

    Half precision is read and written as it is.
    """
    return current.device.type == "cuda" and current.dtype in (torch.float32, *HALF) and computes(current, d, state, noise)


@triton.jit
def _constants(thresholds, decays, at, neurons, inner, channels, S: tl.constexpr):
    channel = at // inner % channels
    threshold, decay = tl.load(thresholds), tl.load(decays)
    if S.thresholds:
        threshold = tl.load(thresholds + channel, mask=at < neurons, other=0.0)
    if S.decays:
        decay = tl.load(decays + channel, mask=at < neurons, other=0.0)
    return threshold, decay


@triton.jit
def _begin(start, at, real, S: tl.constexpr, BLOCK: tl.constexpr):
    return tl.zeros([BLOCK], tl.float32) if S.resting else tl.load(start + at, mask=real, other=0.0)


@triton.jit
def _forward(
    x, start, thresholds, decays, grid, spikes, last, bad,
    steps, neurons, stride, inner, channels, S: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < neurons
    threshold, decay = _constants(thresholds, decays, at, neurons, inner, channels, S)
    v = _begin(start, at, real, S, BLOCK)
    nans = tl.zeros([BLOCK], tl.int32)
    x_at, out_at = at, at
    now = tl.load(x + x_at, mask=real, other=0.0)
    for step in range(steps):
        x_at += stride
        ahead = tl.load(x + x_at, mask=real & (step + 1 < steps), other=0.0)  # on its way while this step is computed
        current = now.to(tl.float32)
        nans += (current != current).to(tl.int32)
        _u, _w, _seen, s, _fallen, v = advance(v, current, threshold, decay, grid, S)
        tl.store(spikes + out_at, s, mask=real)
        out_at += neurons
        now = ahead
    tl.store(last + at, v, mask=real)
    found = tl.sum(nans, 0)
    if found > 0:  # thousands of blocks would wait for each other at this one address
        tl.atomic_add(bad, found)


@triton.jit
def _backward(
    x, start, thresholds, decays, grid, states, to_spikes, to_last, to_current, to_start, to_thresholds, to_steps,
    steps, neurons, stride, inner, channels, S: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < neurons
    threshold, decay = _constants(thresholds, decays, at, neurons, inner, channels, S)
    v = _begin(start, at, real, S, BLOCK)
    x_at, out_at = at, at
    for _ in range(steps):
        tl.store(states + out_at, v, mask=real)
        now = tl.load(x + x_at, mask=real, other=0.0).to(tl.float32)
        _u, _w, _seen, _s, _fallen, v = advance(v, now, threshold, decay, grid, S)
        x_at += stride
        out_at += neurons
    tl.debug_barrier()  # what a thread reads below, another one of its block may have stored
    gv = tl.load(to_last + at, mask=real, other=0.0)
    total = tl.zeros([BLOCK], tl.float32)
    to_threshold, to_step = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for _ in range(steps):
        x_at -= stride
        out_at -= neurons
        v = tl.load(states + out_at, mask=real, other=0.0)
        now = tl.load(x + x_at, mask=real, other=0.0).to(tl.float32)
        gs = tl.load(to_spikes + out_at, mask=real, other=0.0).to(tl.float32)
        u, w, seen, s, fallen, after = advance(v, now, threshold, decay, grid, S)
        g, at_fire, at_snap = fire_back(gs, gv, threshold, u, w, seen, s, fallen, after, grid, S)
        gx, gv, at_reset = charge_back(g, v, threshold, decay, S)
        to_threshold += at_fire + at_reset
        to_step += at_snap
        total = tl.where(stride == 0, total + gx, gx)  # a still current gathers over time
        tl.store(to_current + x_at, total, mask=real)
    if not S.resting:
        tl.store(to_start + at, gv, mask=real)
    if S.to_threshold:
        tl.store(to_thresholds + at, to_threshold, mask=real)
    if S.to_step:
        tl.store(to_steps + at, to_step, mask=real)


class Call:
    """The arguments that both directions share, over dense ``x`` ``[time, ...]``; ``inner`` is the stride of its channels.

    ``resting``: membranes begin at 0, and nothing is read for them.
    """

    def __init__(self, x: Tensor, inner: int, d: Dynamics, state: State | None, steps: int | None, resting: bool) -> None:
        self.steps, self.neurons = x.shape[0] if steps is None else steps, x[0].numel()
        threshold, decay = (_constant(value, x.device) for value in (d.threshold, d.decay))
        self.tensors = threshold, decay, threshold if state is None else _packed(state.fixed, x.device)
        channels = max(threshold.numel(), decay.numel())
        self.sizes = self.steps, self.neurons, self.neurons if steps is None else 0, inner, channels
        self.settings = _settings(d, state, threshold.numel() > 1, decay.numel() > 1, resting)
        self.blocks = (triton.cdiv(self.neurons, BLOCK),)
        self.shape = (self.steps, *x.shape[1:])

    def launch(self, kernel: Any, x: Tensor, start: Tensor, *tensors: Tensor) -> None:
        """Run a kernel; ``tensors`` are its own arguments."""
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            kernel[self.blocks](x, start, *self.tensors, *tensors, *self.sizes, self.settings, BLOCK, enable_fp_fusion=False)


def _constant(value: Tensor | float, device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to(device, torch.float32).reshape(-1).contiguous()
    return torch.full((1,), value, dtype=torch.float32, device=device)


def _packed(grid: Affine | Table, device: torch.device) -> Tensor:
    """``step, lowest, shift``, or the levels and then their midpoints: read on the device, so that nothing waits for them."""
    values = torch.stack(grid[:3]) if isinstance(grid, Affine) else torch.cat([grid.levels, midpoints(grid)])
    return values.detach().to(device, torch.float32)


def _settings(d: Dynamics, state: State | None, thresholds: bool, decays: bool, resting: bool) -> Settings:
    to_threshold, to_step = (each is not None for each in learned(d, state))
    return Settings(
        charge=d.charge,
        reset=d.reset,
        leak_rounding=d.leak_rounding,
        late=d.reset_timing == "next",
        strict=d.compare == ">",
        attached=not d.detach_reset,
        full=d.compare_at == "full",
        surrogate=d.surrogate.kind,
        grid="none" if state is None else "affine" if isinstance(state.grid, Affine) else "table",
        rounding="" if state is None else state.rounding,
        before=state is not None and state.snapped != "after_reset",
        after=state is not None and state.snapped != "before_fire",
        mask=state is not None and state.gradient == "mask" and not state.wrap,
        stacked=state is not None and state.gradient == "stacked",
        wrap=state is not None and state.wrap,
        size=0 if state is None else state.fixed.size,
        thresholds=thresholds,
        decays=decays,
        to_threshold=to_threshold,
        to_step=to_step,
        resting=resting,
        tau=float(d.tau),
        gain=float(d.gain),
        leak=d.multiplier * 2.0**-d.shift if d.charge == "multiply_shift" else 2.0**-d.shift,
        reset_value=float(d.reset_value),
        rest=float(d.reset_value) if d.reset == "value" else 0.0,
        slope=float(d.surrogate.slope),
        height=float(d.surrogate.height),
        temperature=TEMPERATURE,
        up=2.0**d.state_shift,
        down=2.0**-d.state_shift,
    )


def lif_scan(
    current: Tensor, dynamics: Dynamics, state: State | None, start: Tensor | None, steps: int | None = None
) -> tuple[Tensor, Tensor]:
    """The twin of ``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``."""
    spikes, last = _Scan.apply(current, start, *learned(dynamics, state), dynamics, state, steps)  # type: ignore[no-untyped-call]
    return spikes, last


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, start: Tensor | None, threshold: Tensor | None, step: Tensor | None, *given: Any
    ) -> tuple[Tensor, Tensor]:
        dynamics, state, steps = given
        order = memory_order(current)
        x = current.permute(order).contiguous()
        call = Call(x, x.stride(order.index(2)) if x.ndim > 2 else 1, dynamics, state, steps, start is None)
        last = torch.empty_like(x[0], dtype=torch.float32)
        # At rest a kernel reads no start and writes no gradient of it; any tensor stands in for them.
        begin = last if start is None else start.unsqueeze(0).permute(order).squeeze(0).contiguous()
        spikes, bad = x.new_empty(call.shape), x.new_zeros(1, dtype=torch.int32)
        call.launch(_forward, x, begin, spikes, last, bad)
        if not recording() and bad.item():
            raise SpecError(f"the current of a neuron holds {int(bad)} NaN; look at the layer before it")
        ctx.call, ctx.order, ctx.back = call, order, tuple(order.index(axis) for axis in range(x.ndim))
        ctx.learned = [None if each is None else each.shape for each in (threshold, step)]
        ctx.save_for_backward(x, None if start is None else begin, *watchable(*call.tensors))
        return spikes.permute(ctx.back), last.unsqueeze(0).permute(ctx.back).squeeze(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        x, begin = ctx.saved_tensors[:2]
        to_spikes = gradients[0].permute(ctx.order).contiguous()
        to_last = gradients[1].unsqueeze(0).permute(ctx.order).squeeze(0).contiguous()
        states, to_current = x.new_empty(ctx.call.shape, dtype=torch.float32), torch.empty_like(x)
        to_start = to_last if begin is None else torch.empty_like(begin)
        constants = [None if shape is None else torch.empty_like(to_last) for shape in ctx.learned]
        written = to_start, *(to_last if each is None else each for each in constants)  # the kernel writes what is learned alone
        ctx.call.launch(_backward, x, to_start if begin is None else begin, states, to_spikes, to_last, to_current, *written)

        def one_step(value: Tensor) -> Tensor:
            return value.unsqueeze(0).permute(ctx.back).squeeze(0)

        learned = (None if each is None else one_step(each).sum_to_size(shape) for each, shape in zip(constants, ctx.learned, strict=True))
        return to_current.permute(ctx.back), None if begin is None else one_step(to_start), *learned, None, None, None
