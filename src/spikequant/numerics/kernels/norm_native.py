"""The CPU twin of batch norm, neuron and max pool in a row, over channels-last images."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.kernels.lif_native import TILE, Call, pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.norm import Norm
from spikequant.numerics.scan import Dynamics, State

BLOCK = 2048


class Shape(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [(name, ctypes.c_int64) for name in ["steps", "batch", "height", "width", "channels", "pool", "still"]]


def fits(current: Tensor, dynamics: Dynamics, state: State | None, pool: int) -> bool:
    """Whether the twin covers this call: float32 images on the CPU, in any dynamics that ``lif_scan``'s twin covers."""
    if current.ndim != 5 or pool * current.shape[2] > TILE or min(current.shape[3:]) < pool:
        return False
    return lif_native.fits(current, dynamics, state, None)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (biased) of each channel of ``x`` ``[row, channel]``, summed in float64 over fixed blocks."""
    total = _sums(x, None)
    mean = total[1] / x.shape[0]
    return mean.float(), (total[0] / x.shape[0] - mean * mean).clamp(min=0).float()


def norm_scan(
    current: Tensor, norm: Norm, dynamics: Dynamics, state: State | None = None, steps: int | None = None, pool: int = 1
) -> Tensor:
    """The twin of ``spikequant.numerics.norm.norm_scan``, for calls that it ``fits``."""
    spikes: Tensor = _NormScan.apply(current, norm.scale, norm.shift, norm, (dynamics, state), (steps, pool))  # type: ignore[no-untyped-call]
    return spikes


def channels_last(x: Tensor) -> Tensor:
    """``[time, batch, channel, height, width]`` as contiguous ``[time, batch, height, width, channel]``; a view where it is laid out so."""
    return x.permute(0, 1, 3, 4, 2).contiguous()


def _sums(x: Tensor, y: Tensor | None) -> Tensor:
    rows, channels = x.shape
    blocks = torch.empty(-(-rows // BLOCK), 2, channels, dtype=torch.float64)
    sizes = ctypes.c_int64(rows), ctypes.c_int64(channels)
    _c().sq_channel_sums(pointer(x), pointer(y), *sizes, pointer(blocks), torch.get_num_threads())
    return blocks.sum(0)


def _c() -> ctypes.CDLL:
    c = library()
    if c is None:
        raise SpecError("the C library is gone; set SPIKEQUANT_KERNELS=torch")
    return c


class _NormScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        scale: Tensor,
        shift: Tensor,
        norm: Norm,
        neuron: tuple[Dynamics, State | None],
        form: tuple[int | None, int],
    ) -> Tensor:
        (dynamics, state), (steps, pool) = neuron, form
        x = channels_last(current)
        call = Call(x, 1, dynamics, state, steps)
        batch, height, width, channels = x.shape[1:]
        shape = Shape(call.steps, batch, height, width, channels, pool, steps is not None)
        spikes = empty((call.steps, batch, height // pool, width // pool, channels))
        a, b = scale.detach().float().contiguous(), shift.detach().float().contiguous()
        c = _c()
        c.sq_norm_lif_forward.restype = c.sq_norm_room.restype = ctypes.c_int64
        room = torch.empty(call.threads * c.sq_norm_room(ctypes.byref(shape), 0))
        head = (ctypes.byref(call.spec), ctypes.byref(call.tables), ctypes.byref(shape), pointer(x), pointer(a), pointer(b))
        bad = c.sq_norm_lif_forward(*head, pointer(spikes), pointer(room), call.threads)
        if bad:
            raise SpecError(f"the current of a neuron holds {bad} NaN; look at the layer before it")
        ctx.call, ctx.sizes = call, shape
        ctx.save_for_backward(x, a, b, *(each for each in (norm.mean, norm.inverse) if each is not None))
        return spikes.permute(0, 1, 4, 2, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        call, shape, (x, a, b, *centered) = ctx.call, ctx.sizes, ctx.saved_tensors
        to_spikes = channels_last(gradients[0])
        g = empty(x.shape)
        g.zero_()
        c = _c()
        room = torch.empty(call.threads * c.sq_norm_room(ctypes.byref(shape), 1))
        head = (ctypes.byref(call.spec), ctypes.byref(call.tables), ctypes.byref(shape), pointer(x), pointer(a), pointer(b))
        c.sq_norm_lif_backward(*head, pointer(to_spikes), pointer(g), pointer(room), call.threads)
        rows = x.reshape(-1, x.shape[-1])
        to_scale, to_shift = _sums(g.reshape(rows.shape), rows)
        slope, lift = torch.zeros_like(a), torch.zeros_like(a)
        if centered:
            slope, lift = _through_moments(to_scale, to_shift, (a, *centered), len(rows))
        sizes = ctypes.c_int64(len(rows)), ctypes.c_int64(x.shape[-1])
        c.sq_channel_blend(pointer(g), pointer(x), *sizes, pointer(a), pointer(slope), pointer(lift), call.threads)
        return g.permute(0, 1, 4, 2, 3), to_scale.float(), to_shift.float(), None, None, None


def _through_moments(to_scale: Tensor, to_shift: Tensor, affine: tuple[Tensor, ...], count: int) -> tuple[Tensor, Tensor]:
    """What batch norm's gradient adds per channel, ``x * slope + lift``, its mean and deviation being those of the batch itself."""
    a, mean, inverse = (each.double() for each in affine)
    to_deviation = (to_scale - mean * to_shift) * inverse
    slope = -a * inverse * to_deviation / count
    lift = -a * to_shift / count - slope * mean
    return slope.float(), lift.float()
