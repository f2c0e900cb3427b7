"""The CPU twin of batch norm, neuron and max pool or residual sum in a row, over channels-last images."""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.kernels import lif_native
from spikequant.numerics.kernels.first_order import refuse_second_order
from spikequant.numerics.kernels.lif_native import TILE, pointer
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.norm import Norm, Tail
from spikequant.numerics.scan import Dynamics, State

BLOCK = 2048
DTYPES = (torch.float32, torch.bfloat16)
Neuron = tuple[Dynamics, State | None]
Affine = tuple[Tensor, Tensor]


class Shape(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [(name, ctypes.c_int64) for name in ["steps", "batch", "height", "width", "channels", "pool", "still", "half", "moving"]]


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


def agree(current: Tensor, norm: Norm, steps: int | None, tail: Tail) -> bool:
    """Whether all that goes with these images is of their shape, as C takes it to be; where something is broadcast, the reference runs."""
    shown, channels = current.shape[0] if steps is None else steps, current.shape[2]
    plus, counts = (None if each is None else tuple(each.shape) for each in (tail.plus, tail.counts))
    of_channels = all(each is None or each.shape == (channels,) for each in norm)
    return of_channels and plus in (None, (shown, *current.shape[1:])) and counts in (None, tuple(current.shape[1:3]))


def has_moments(current: Tensor) -> bool:
    """Whether ``moments`` covers these images."""
    covered = current.dtype == torch.float32 or (current.dtype == torch.bfloat16 and current.shape[2] <= TILE)
    return covered and current.device.type == "cpu" and library() is not None


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
    *,
    run: "Run | None" = None,
) -> Tensor:
    """The twin of ``spikequant.numerics.norm.norm_scan``, for calls that it, or the form whose ``run`` goes forward, ``fits``."""
    form = norm, (dynamics, state), (steps, tail), run or run_all
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
    assert c is not None, "fits() asked for it"
    return _declared(c)


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    place, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    c.sq_channel_sums.argtypes = [place, threads, count, count, place, threads]
    c.sq_channel_blend.argtypes = [place, place, threads, count, count, place, place, place, threads]
    c.sq_norm_room.argtypes, c.sq_norm_room.restype = [place, threads], count
    c.sq_norm_chunks.argtypes, c.sq_norm_chunks.restype = [place], count
    c.sq_norm_patches.argtypes, c.sq_norm_patches.restype = [place], count
    c.sq_norm_lif_forward.argtypes, c.sq_norm_lif_forward.restype = [place] * 11 + [threads], count
    c.sq_norm_extremes.argtypes, c.sq_norm_extremes.restype = [place] * 8 + [threads], count
    c.sq_norm_lif_backward.argtypes = [place] * 10 + [threads]
    return c


class Call(lif_native.Call):
    """The arguments of one call over images ``[time, batch, height, width, channel]``."""

    def __init__(self, x: Tensor, neuron: Neuron, steps: int | None, pool: int) -> None:
        super().__init__(x, 1, *neuron, steps)
        self.spec: Any = self.spec  # or an array of them, as the next
        self.tables: Any = self.tables
        self.shape_of_c = Shape(self.steps, *x.shape[1:], pool, steps is not None, _is_half(x), moving=False)
        batch, height, width, channels = x.shape[1:]
        self.spiking = self.steps, batch, height // pool, width // pool, channels

    def take_grids_of(self, steps: Sequence["Call"]) -> None:
        """Let each step have the grid that it has in one of ``steps``: backward walks through them."""
        self.by_step = steps  # keeps alive what their tables point to
        self.spec = (lif_native.Spec * len(steps))(*(each.spec for each in steps))
        self.tables = (lif_native.Tables * len(steps))(*(each.tables for each in steps))
        self.shape_of_c.moving = True

    def patches(self, c: ctypes.CDLL) -> int:
        """How many tiles C makes of the images."""
        return int(_declared(c).sq_norm_patches(ctypes.byref(self.shape_of_c)))

    def places(self, *tensors: Tensor | None) -> tuple[Any, ...]:
        """The arguments that both directions begin with, and where these tensors lie."""
        return *map(ctypes.byref, (self.spec, self.tables, self.shape_of_c)), *map(pointer, tensors)

    def room(self, c: ctypes.CDLL, backward: bool) -> Tensor:
        """What C computes in."""
        return torch.empty(
            self.threads * _declared(c).sq_norm_room(ctypes.byref(self.shape_of_c), backward), dtype=torch.float32, device="cpu"
        )


# A way forward, of images, neuron, steps, tail and affine parameters: the call that backward goes by, and the spikes.
Run = Callable[[Tensor, Neuron, int | None, Tail, Affine], tuple[Call, Tensor]]


def run_all(x: Tensor, neuron: Neuron, steps: int | None, tail: Tail, affine: Affine) -> tuple[Call, Tensor]:
    """All steps in one call of C."""
    call = Call(x, neuron, steps, tail.pool)
    return call, run_forward(_c(), call, x, affine, tail.plus, tail.counts)


def run_forward(c: ctypes.CDLL, call: Call, x: Tensor, affine: Affine, plus: Tensor | None, counts: Tensor | None) -> Tensor:
    """Spikes, pooled, with ``plus`` added; ``counts`` ``[batch, channel]`` is filled with those of each image."""
    spikes = empty(call.spiking, x.dtype)
    advance(c, call, x, affine, Tail(plus=plus, counts=counts), spikes)
    return spikes


def advance(c: ctypes.CDLL, call: Call, x: Tensor, affine: Affine, tail: Tail, spikes: Tensor, held: Tensor | None = None) -> None:
    """``run_forward`` into ``spikes``, from the membranes that are ``held`` by tiles, which it moves on; from rest, if None."""
    counts, room, parts = tail.counts, call.room(c, backward=False), None
    if counts is not None:
        parts = torch.empty(len(counts), call.patches(c) // len(counts), counts.shape[1], dtype=torch.float32, device="cpu")
    bad = _declared(c).sq_norm_lif_forward(*call.places(x, *affine, tail.plus, spikes, parts, held, room), call.threads)
    _refuse_nan(bad)
    if counts is not None and parts is not None:
        torch.sum(parts, 1, out=counts)


def extremes(c: ctypes.CDLL, call: Call, x: Tensor, affine: Affine, held: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest membrane after the charge of one step, from the membranes ``held`` by tiles."""
    ends = torch.empty(call.patches(c), 2, dtype=torch.float32, device="cpu")
    _refuse_nan(_declared(c).sq_norm_extremes(*call.places(x, *affine, held, ends), call.threads))
    return ends.amin(0)[0], ends.amax(0)[1]


def _refuse_nan(count: int) -> None:
    if count:
        raise SpecError(f"the current of a neuron holds {count} NaN; look at the layer before it")


def run_backward(c: ctypes.CDLL, call: Call, x: Tensor, affine: Affine, to_spikes: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
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
        norm, neuron, (steps, tail), run = form
        x = channels_last(current.detach())
        a, b = scale.detach().float().contiguous(), shift.detach().float().contiguous()
        added = None if plus is None else channels_last(plus.detach())
        spikes: Tensor
        ctx.call, spikes = run(x, neuron, steps, tail._replace(plus=added), (a, b))
        ctx.save_for_backward(x, a, b, norm.mean, norm.inverse, *ctx.call.lent())
        return spikes.permute(0, 1, 4, 2, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        x, a, b, mean, inverse = ctx.saved_tensors[:5]
        c = _c()
        g, (to_scale, to_shift) = run_backward(c, ctx.call, x, (a, b), channels_last(gradients[0]))
        rows = x.reshape(-1, x.shape[-1])
        slope, lift = torch.zeros_like(a), torch.zeros_like(a)
        if mean is not None:
            slope, lift = _through_moments(to_scale, to_shift, (a, mean, inverse), len(rows))
        places = a.data_ptr(), slope.data_ptr(), lift.data_ptr()
        c.sq_channel_blend(g.data_ptr(), x.data_ptr(), _is_half(x), *rows.shape, *places, ctx.call.threads)
        to_plus = gradients[0] if ctx.needs_input_grad[3] else None
        return g.permute(0, 1, 4, 2, 3), to_scale.float(), to_shift.float(), to_plus, None, None, None, None


def _through_moments(to_scale: Tensor, to_shift: Tensor, affine: tuple[Tensor, ...], count: int) -> tuple[Tensor, Tensor]:
    """What batch norm's gradient adds per channel, ``x * slope + lift``, its mean and deviation being those of the batch itself."""
    a, mean, inverse = (each.double() for each in affine)
    to_deviation = (to_scale - mean * to_shift) * inverse
    slope = -a * inverse * to_deviation / count
    lift = -a * to_shift / count - slope * mean
    return slope.float(), lift.float()
