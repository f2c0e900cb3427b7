"""The CPU twin of batch norm, neuron and max pool or residual sum in a row, over channels-last images."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.kernels.lif_native import TILE, pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.norm import Norm, Tail
from spikequant.numerics.scan import Dynamics, State

BLOCK = 2048
DTYPES = (torch.float32, torch.bfloat16)


class Shape(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [(name, ctypes.c_int64) for name in ["steps", "batch", "height", "width", "channels", "pool", "still", "half"]]


def fits(current: Tensor, dynamics: Dynamics, state: State | None, tail: Tail) -> bool:
    """Whether the twin covers this call: images on the CPU, in any dynamics that ``lif_scan``'s twin covers.

    They are float32, or bfloat16, which is widened as it is read: membranes and sums are float32 in both.
    """
    pool, plus, counts = tail
    if current.device.type != "cpu" or current.dtype not in DTYPES or library() is None:
        return False
    if current.ndim != 5 or pool * current.shape[2] > TILE or min(current.shape[3:]) < pool:
        return False
    if plus is not None and (pool > 1 or plus.dtype != current.dtype or plus.shape[1:] != current.shape[1:]):
        return False
    if counts is not None and any(size % pool for size in current.shape[3:]):
        return False  # neurons that no window covers would go uncounted
    return lif_native.covers(current, dynamics, state, None)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (biased) of each channel of ``x`` ``[row, channel]``, summed in float64 over fixed blocks."""
    total = sums(_c(), x)
    mean = total[1] / x.shape[0]
    return mean.float(), (total[0] / x.shape[0] - mean * mean).clamp(min=0).float()


def norm_scan(
    current: Tensor,
    norm: Norm,
    dynamics: Dynamics,
    state: State | None = None,
    steps: int | None = None,
    tail: Tail = Tail(),  # noqa: B008 - an immutable default
) -> Tensor:
    """The twin of ``spikequant.numerics.norm.norm_scan``, for calls that it ``fits``."""
    form = norm, (dynamics, state), (steps, tail)
    summed: Tensor = _NormScan.apply(current, norm.scale, norm.shift, tail.plus, *form)  # type: ignore[no-untyped-call]
    return summed


def channels_last(x: Tensor) -> Tensor:
    """``[time, batch, channel, height, width]`` as contiguous ``[time, batch, height, width, channel]``; a view where it is laid out so."""
    return x.permute(0, 1, 3, 4, 2).contiguous()


def sums(c: ctypes.CDLL, x: Tensor) -> Tensor:
    """``[2, channel]`` in float64: of ``x x`` and of ``x``, over rows ``[row, channel]``."""
    rows, channels = x.shape
    blocks = torch.empty(-(-rows // BLOCK), 2, channels, dtype=torch.float64, device="cpu")
    _declared(c).sq_channel_sums(x.data_ptr(), _is_half(x), rows, channels, blocks.data_ptr(), torch.get_num_threads())
    return blocks.sum(0)


def _is_half(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def _c() -> ctypes.CDLL:
    c = library()
    if c is None:
        raise SpecError("the C library is gone; set SPIKEQUANT_KERNELS=torch")
    return _declared(c)


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    place, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    c.sq_channel_sums.argtypes = [place, threads, count, count, place, threads]
    c.sq_channel_blend.argtypes = [place, place, threads, count, count, place, place, place, threads]
    c.sq_norm_room.argtypes, c.sq_norm_room.restype = [place, threads], count
    c.sq_norm_chunks.argtypes, c.sq_norm_chunks.restype = [place], count
    c.sq_norm_patches.argtypes, c.sq_norm_patches.restype = [place], count
    c.sq_norm_lif_forward.argtypes, c.sq_norm_lif_forward.restype = [place] * 10 + [threads], count
    c.sq_norm_lif_backward.argtypes = [place] * 10 + [threads]
    return c


class Call(lif_native.Call):
    """The arguments of one call over images ``[time, batch, height, width, channel]``."""

    def __init__(self, x: Tensor, neuron: tuple[Dynamics, State | None], steps: int | None, pool: int) -> None:
        super().__init__(x, 1, *neuron, steps)
        self.shape_of_c = Shape(self.steps, *x.shape[1:], pool, steps is not None, _is_half(x))
        batch, height, width, channels = x.shape[1:]
        self.spiking = self.steps, batch, height // pool, width // pool, channels

    def places(self, *tensors: Tensor | None) -> tuple[Any, ...]:
        """The arguments that both directions begin with, and where these tensors lie."""
        return *map(ctypes.byref, (self.spec, self.tables, self.shape_of_c)), *map(pointer, tensors)

    def room(self, c: ctypes.CDLL, backward: bool) -> Tensor:
        """What C computes in."""
        return torch.empty(
            self.threads * _declared(c).sq_norm_room(ctypes.byref(self.shape_of_c), backward), dtype=torch.float32, device="cpu"
        )


def run_forward(c: ctypes.CDLL, call: Call, x: Tensor, affine: tuple[Tensor, Tensor], plus: Tensor | None, counts: Tensor | None) -> Tensor:
    """Spikes, pooled, with ``plus`` added; ``counts`` ``[batch, channel]`` is filled with those of each image."""
    spikes, room, parts = empty(call.spiking, x.dtype), call.room(c, backward=False), None
    if counts is not None:
        patches = _declared(c).sq_norm_patches(ctypes.byref(call.shape_of_c))
        parts = torch.empty(len(counts), patches // len(counts), counts.shape[1], dtype=torch.float32, device="cpu")
    bad = _declared(c).sq_norm_lif_forward(*call.places(x, *affine, plus, spikes, parts, room), call.threads)
    if bad:
        raise SpecError(f"the current of a neuron holds {bad} NaN; look at the layer before it")
    if counts is not None and parts is not None:
        torch.sum(parts, 1, out=counts)
    return spikes


def run_backward(
    c: ctypes.CDLL, call: Call, x: Tensor, affine: tuple[Tensor, Tensor], to_spikes: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The gradient of the normalized current, and those of scale and shift, in float64."""
    g, room, pool = empty(x.shape, x.dtype), call.room(c, backward=True), call.shape_of_c.pool
    if any(size % pool for size in x.shape[2:4]):
        g.zero_()  # for neurons that no window covers
    chunks = torch.empty(c.sq_norm_chunks(ctypes.byref(call.shape_of_c)), 2, x.shape[-1], dtype=torch.float64, device="cpu")
    c.sq_norm_lif_backward(*call.places(x, *affine, to_spikes, g, chunks, room), call.threads)
    to_scale, to_shift = chunks.sum(0)
    return g, (to_scale, to_shift)


class _NormScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        scale: Tensor,
        shift: Tensor,
        plus: Tensor | None,
        *form: Any,
    ) -> Tensor:
        norm, neuron, (steps, tail) = form
        x = channels_last(current.detach())
        ctx.call = Call(x, neuron, steps, tail.pool)
        a, b = scale.detach().float().contiguous(), shift.detach().float().contiguous()
        added = None if plus is None else channels_last(plus.detach())
        spikes = run_forward(_c(), ctx.call, x, (a, b), added, tail.counts)
        ctx.save_for_backward(x, a, b, *(each for each in (norm.mean, norm.inverse) if each is not None))
        return spikes.permute(0, 1, 4, 2, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b, *centered = ctx.saved_tensors
        c = _c()
        g, (to_scale, to_shift) = run_backward(c, ctx.call, x, (a, b), channels_last(gradients[0]))
        rows = x.reshape(-1, x.shape[-1])
        slope, lift = torch.zeros_like(a), torch.zeros_like(a)
        if centered:
            slope, lift = _through_moments(to_scale, to_shift, (a, *centered), len(rows))
        places = a.data_ptr(), slope.data_ptr(), lift.data_ptr()
        c.sq_channel_blend(g.data_ptr(), x.data_ptr(), _is_half(x), *rows.shape, *places, ctx.call.threads)
        to_plus = gradients[0] if ctx.needs_input_grad[3] else None
        return g.permute(0, 1, 4, 2, 3), to_scale.float(), to_shift.float(), to_plus, None, None, None


def _through_moments(to_scale: Tensor, to_shift: Tensor, affine: tuple[Tensor, ...], count: int) -> tuple[Tensor, Tensor]:
    """What batch norm's gradient adds per channel, ``x * slope + lift``, its mean and deviation being those of the batch itself."""
    a, mean, inverse = (each.double() for each in affine)
    to_deviation = (to_scale - mean * to_shift) * inverse
    slope = -a * inverse * to_deviation / count
    lift = -a * to_shift / count - slope * mean
    return slope.float(), lift.float()
