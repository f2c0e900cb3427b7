"""The CPU twin of ``lif_scan``: C over tiles of neurons, backward by recomputing each tile in cache."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Affine, Table, bounds, levels
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.ranging import Ranging
from spikequant.numerics.scan import Dynamics, State
from spikequant.numerics.snap import midpoints

TILE = 512
CHARGE = {"scale": 0, "relax": 1, "relax_input": 2, "shift": 3, "shift_min1": 4, "multiply_shift": 5}
RESET = {"subtract": 0, "value": 1, "none": 2}
LEAK = {"floor": 0, "trunc": 1, "half_up": 2}
ROUNDING = {"nearest_even": 0, "half_up": 1, "truncate": 2}
SURROGATE = {"arctan": 0, "sigmoid": 1, "fast_sigmoid": 2, "triangle": 3, "squat": 4}
SNAPPED = {"before_fire": 1, "after_reset": 2, "both": 3}
SERIAL_BELOW = 2**15

_INTS = "charge reset leak_rounding next strict detach_reset full surrogate grid rounding snapped mask size wrap"
_FLOATS = "tau gain leak reset_value slope up down step lowest shift low high"


class Spec(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [(name, ctypes.c_int32) for name in _INTS.split()] + [(name, ctypes.c_float) for name in _FLOATS.split()]


class Tables(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [
        ("threshold", ctypes.c_void_p),
        ("decay", ctypes.c_void_p),
        *[(name, ctypes.c_int64) for name in ("threshold_stride", "decay_stride", "inner", "channels")],
        ("levels", ctypes.c_void_p),
        ("middles", ctypes.c_void_p),
    ]


def fits(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """Whether the twin covers this call; where it does not, the reference runs."""
    return current.device.type == "cpu" and covers(current, d, state, noise) and library() is not None


def covers(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """Whether a fused scan, on any device, computes this call: float32, nothing learned, no noise, one grid for all."""
    if current.dtype != torch.float32 or noise is not None:
        return False
    if d.charge not in CHARGE or d.reset_timing not in ("now", "next") or d.rest is not None:
        return False
    learned = [d.threshold, d.decay, d.gain]
    if any(isinstance(each, Tensor) and each.requires_grad for each in learned) or isinstance(d.gain, Tensor):
        return False
    if not all(_is_per_channel(each, current) for each in learned[:2] if isinstance(each, Tensor)):
        return False
    return state is None or _grid_fits(state)


def _is_per_channel(constant: Tensor, current: Tensor) -> bool:
    return constant.numel() == 1 or tuple(constant.shape) == (1, *current.shape[2:3], *[1] * (current.ndim - 3))


def _grid_fits(state: State) -> bool:
    if isinstance(state.grid, Ranging):
        return False
    if isinstance(state.grid, Table):
        return state.grid.levels.ndim == 1 and 2 <= state.grid.size <= 65536
    return state.grid.step.ndim == 0 and not state.grid.step.requires_grad and state.rounding in ROUNDING


def lif_scan(
    current: Tensor, dynamics: Dynamics, state: State | None, start: Tensor | None, steps: int | None = None
) -> tuple[Tensor, Tensor]:
    """The twin of ``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``."""
    spikes, last = _Scan.apply(current, start, dynamics, state, steps)  # type: ignore[no-untyped-call]
    return spikes, last


class Call:
    """The arguments of one call over dense ``x`` ``[time, ...]``; ``inner`` is the stride of its channels. Keeps alive what C points to."""

    def __init__(self, x: Tensor, inner: int, d: Dynamics, state: State | None, steps: int | None) -> None:
        self.x = x
        self.steps, self.neurons = x.shape[0] if steps is None else steps, x[0].numel()
        self.stride = self.neurons if steps is None else 0
        self.threshold, self.decay = (
            torch.as_tensor(each, dtype=torch.float32).reshape(-1).contiguous() for each in (d.threshold, d.decay)
        )
        self.levels = self.middles = torch.empty(0)
        if state is not None and isinstance(state.grid, Table):
            self.levels, self.middles = levels(state.grid).float().contiguous(), midpoints(state.grid).float().contiguous()
        self.spec = _spec(d, state)
        channels = max(self.threshold.numel(), self.decay.numel())
        strides = [int(each.numel() > 1) for each in (self.threshold, self.decay)]
        pointers = [each.data_ptr() for each in (self.threshold, self.decay)]
        self.tables = Tables(*pointers, *strides, inner, channels, self.levels.data_ptr(), self.middles.data_ptr())
        self.threads = torch.get_num_threads() if self.steps * self.neurons >= SERIAL_BELOW else 1

    def head(self) -> tuple[Any, ...]:
        """The arguments that both directions begin with."""
        return ctypes.byref(self.spec), ctypes.byref(self.tables), ctypes.c_int64(self.steps), ctypes.c_int64(self.neurons)


def _spec(d: Dynamics, state: State | None) -> Spec:
    leak = d.multiplier * 2.0**-d.shift if d.charge == "multiply_shift" else 2.0**-d.shift
    spec = Spec(
        charge=CHARGE[d.charge],
        reset=RESET[d.reset],
        leak_rounding=LEAK[d.leak_rounding],
        next=d.reset_timing == "next",
        strict=d.compare == ">",
        detach_reset=d.detach_reset,
        full=d.compare_at == "full",
        surrogate=SURROGATE[d.surrogate.kind],
        tau=d.tau,
        gain=d.gain,
        leak=leak,
        reset_value=d.reset_value,
        slope=d.surrogate.slope,
        up=2.0**d.state_shift,
        down=2.0**-d.state_shift,
    )
    if state is not None:
        low, high = bounds(state.fixed)
        spec.grid, spec.size = 1 if isinstance(state.grid, Affine) else 2, state.fixed.size
        spec.rounding, spec.snapped = ROUNDING[state.rounding], SNAPPED[state.snapped]
        spec.mask, spec.wrap, spec.low, spec.high = state.gradient == "mask", state.wrap, float(low), float(high)
        if isinstance(state.grid, Affine):
            spec.step, spec.lowest, spec.shift = float(state.grid.step), float(state.grid.lowest), float(state.grid.shift)
    return spec


def run_forward(c: ctypes.CDLL, call: Call, start: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Spikes, the last membrane, and how many NaN the current holds."""
    spikes, last = empty((call.steps, *call.x.shape[1:])), empty(call.x.shape[1:])
    c.sq_lif_forward.restype = ctypes.c_int64
    bad = c.sq_lif_forward(
        *call.head(), pointer(call.x), ctypes.c_int64(call.stride), pointer(start), pointer(spikes), pointer(last), call.threads
    )
    return spikes, last, bad


def run_backward(c: ctypes.CDLL, call: Call, start: Tensor | None, to_spikes: Tensor, to_last: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gradients of current and start."""
    to_current, to_start = empty(call.x.shape), empty(call.x.shape[1:])
    scratch = torch.empty(2 * call.threads * call.steps * TILE)
    c.sq_lif_backward(
        *call.head(), pointer(call.x), ctypes.c_int64(call.stride), pointer(start), pointer(to_spikes),
        pointer(to_last), pointer(to_current), pointer(to_start), pointer(scratch), call.threads,
    )  # fmt: skip
    return to_current, to_start


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, start: Tensor | None, dynamics: Dynamics, state: State | None, steps: int | None
    ) -> tuple[Tensor, Tensor]:
        order = memory_order(current)
        x = current.permute(order).contiguous()
        call = Call(x, x.stride(order.index(2)) if x.ndim > 2 else 1, dynamics, state, steps)
        kept = None if start is None else start.unsqueeze(0).permute(order).squeeze(0).contiguous()
        c = library()
        assert c is not None, "fits() asked for it"
        spikes, last, bad = run_forward(c, call, kept)
        if bad:
            raise SpecError(f"the current of a neuron holds {bad} NaN; look at the layer before it")
        ctx.call, ctx.order, ctx.back = call, order, tuple(order.index(axis) for axis in range(x.ndim))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(call.x, *(() if kept is None else (kept,)))
        return spikes.permute(ctx.back), last.unsqueeze(0).permute(ctx.back).squeeze(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, Tensor | None, None, None, None]:
        call, (x, *start) = ctx.call, ctx.saved_tensors
        spikes, last = gradients
        to_spikes = torch.zeros(call.steps, *x.shape[1:]) if spikes is None else spikes.permute(ctx.order).contiguous()
        to_last = None if last is None else last.unsqueeze(0).permute(ctx.order).squeeze(0).contiguous()
        c = library()
        assert c is not None, "forward used it"
        to_current, to_start = run_backward(c, call, start[0] if start else None, to_spikes, to_last)
        to_start = to_start.unsqueeze(0).permute(ctx.back).squeeze(0)
        return to_current.permute(ctx.back), to_start if start else None, None, None, None


def memory_order(current: Tensor) -> tuple[int, ...]:
    """The axes as they lie in memory: images may be laid out channels last, and stay so."""
    last = (0, 1, 3, 4, 2)
    is_last = current.ndim == 5 and not current.is_contiguous() and current.permute(last).is_contiguous()
    return last if is_last else tuple(range(current.ndim))


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where the values of a dense tensor begin."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())
