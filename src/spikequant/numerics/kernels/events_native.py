"""The CPU twin of convolution for images that are mostly zero: only what is not zero is multiplied and added."""

import ctypes
import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikequant.numerics.kernels import wide_torch
from spikequant.numerics.kernels.first_order import refuse_second_order
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty

# Share of values that are not zero, above which a dense convolution is faster: by lanes of 16 output channels that one event feeds.
DENSEST = {torch.float32: {1: 0.06, 2: 0.3, 4: 0.3}, torch.bfloat16: {1: 0.0, 2: 0.08, 4: 0.15}}
LEAST = 2**24  # multiplications of the dense form below which choosing costs more than it saves
LANE, PARTS, MOST_CHANNELS = 16, 8, 2**15


class Pass(ctypes.Structure):
    """The C struct of the same name."""

    _fields_ = [
        (name, ctypes.c_int64) for name in ["images", "height", "width", "channels", "kernel", "padding", "lanes", "blocks", "half"]
    ]


class Form(NamedTuple):
    """How a convolution of stride 1 lies over its images."""

    kernel: int
    padding: int


class Events(NamedTuple):
    """What is not zero in the images: its share, and the largest value without its sign, -1 where one is no whole number."""

    share: float
    most: int


def fits(x: Tensor, weight: Tensor, form: Form) -> bool:
    """Whether the twin computes this call: images on the CPU, blocks of 16 output channels, a square kernel no larger than they.

    Images are float32, or bfloat16 where autocast would have them so: sums are float32 in both.
    """
    half = torch.is_autocast_enabled("cpu")
    if half and torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    if x.device.type != "cpu" or x.ndim != 4 or x.dtype != (torch.bfloat16 if half else torch.float32) or weight.dtype != torch.float32:
        return False
    if weight.shape[0] % LANE or weight.shape[1] != x.shape[1] or weight.shape[1] > MOST_CHANNELS or not x.numel():
        return False
    square = tuple(weight.shape[2:]) == (form.kernel, form.kernel)
    return square and form.padding < form.kernel <= min(x.shape[2:]) and library() is not None


def is_promising(x: Tensor, weight: Tensor) -> bool:
    """Whether a call is worth a look at how much of its images is zero."""
    return DENSEST[x.dtype][lanes(weight)] > 0 and x.numel() // x.shape[1] * weight.numel() >= LEAST


def events_in(c: ctypes.CDLL, x: Tensor) -> Events:
    """Counts the events of images ``[image, channel, height, width]``."""
    dense, half, most = x.detach().permute(0, 2, 3, 1).contiguous(), x.dtype == torch.bfloat16, ctypes.c_int32()
    count = _declared(c).sq_events_count(dense.data_ptr(), half, dense.numel(), ctypes.byref(most), torch.get_num_threads())
    return Events(count / dense.numel(), most.value)


def pays(x: Tensor, weight: Tensor, events: Events) -> bool:
    """Whether so little of the images is not zero that the twin is faster than a dense convolution."""
    return events.share <= DENSEST[x.dtype][lanes(weight)]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """``torch.nn.functional.conv2d`` with stride 1, for calls that it ``fits``; over bfloat16 images the weights are rounded to it, too."""
    found: Tensor = _Convolution.apply(x, weight, bias, form)  # type: ignore[no-untyped-call]
    return found


@functools.cache
def _declared(c: ctypes.CDLL) -> ctypes.CDLL:
    place, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    c.sq_events_count.argtypes, c.sq_events_count.restype = [place, threads, count, place, threads], count
    c.sq_events_room.argtypes, c.sq_events_room.restype = [place], count
    c.sq_whole_forward.argtypes = [place] * 7 + [threads]
    c.sq_events_forward.argtypes, c.sq_events_backward.argtypes = [place] * 6 + [threads], [place] * 5 + [threads]
    return c


def ready() -> ctypes.CDLL:
    """The library, with its functions declared."""
    c = library()
    assert c is not None, "fits() asked for it"
    return _declared(c)


def pass_over(c: ctypes.CDLL, x: Tensor, weight: Tensor, form: Form) -> tuple[Pass, Tensor, int]:
    """The call as C takes it, over ``x`` ``[image, height, width, channel]``; room for its threads; how many they are."""
    threads = torch.get_num_threads()
    each = lanes(weight)
    images, height, width, channels = x.shape
    found = Pass(
        images, height, width, channels, form.kernel, form.padding, each, weight.shape[0] // (LANE * each), x.dtype == torch.bfloat16
    )
    return found, torch.empty(threads * _declared(c).sq_events_room(ctypes.byref(found)), dtype=torch.uint8, device="cpu"), threads


def lanes(weight: Tensor) -> int:
    """How many lanes of 16 output channels a block has."""
    return next(each for each in (4, 2, 1) if weight.shape[0] % (LANE * each) == 0)


def blocked(weight: Tensor, part: int) -> Tensor:
    """``[output, input, line, column]`` as ``[block, line, column, input, output in the block]``."""
    return weight.reshape(-1, part, *weight.shape[1:]).permute(0, 3, 4, 2, 1).contiguous()


def run_forward(c: ctypes.CDLL, x: Tensor, weight: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """The output ``[image, height, width, channel]``."""
    form_of_c, room, threads = pass_over(c, x, weight, form)
    _, height, width, _ = x.shape
    grown = 2 * form.padding - form.kernel + 1
    y = empty((len(x), height + grown, width + grown, weight.shape[0]), x.dtype)
    blocks, begin = blocked(weight, LANE * form_of_c.lanes), weight.new_zeros(weight.shape[0]) if bias is None else bias.contiguous()
    places = (each.data_ptr() for each in (x, blocks, begin, y, room))
    c.sq_events_forward(ctypes.byref(form_of_c), *places, threads)
    return y


def run_backward(c: ctypes.CDLL, x: Tensor, weight: Tensor, to_output: Tensor, form: Form) -> Tensor:
    """The gradient of the weights."""
    form_of_c, room, threads = pass_over(c, x, weight, form)
    parts = empty((PARTS, form_of_c.blocks, form.kernel, form.kernel, weight.shape[1], LANE * form_of_c.lanes))
    places = (each.data_ptr() for each in (x, to_output, parts, room))
    c.sq_events_backward(ctypes.byref(form_of_c), *places, threads)
    return parts.sum(0).permute(0, 4, 3, 1, 2).reshape(weight.shape)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, form: Form) -> Tensor:
        dense = x.detach().permute(0, 2, 3, 1).contiguous()
        ctx.form = form
        ctx.save_for_backward(dense, weight)
        return run_forward(ready(), dense, weight.detach().to(x.dtype).float(), None if bias is None else bias.detach(), form).permute(
            0, 3, 1, 2
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        (dense, weight), form = ctx.saved_tensors, ctx.form
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = _to_images(g, dense.permute(0, 3, 1, 2), weight, form)
        if ctx.needs_input_grad[1]:
            to_weight = run_backward(ready(), dense, weight, g.permute(0, 2, 3, 1), form)
        if ctx.needs_input_grad[2]:
            to_bias = g.sum((0, 2, 3))
        return to_x, to_weight, to_bias, None


def _to_images(g: Tensor, x: Tensor, weight: Tensor, form: Form) -> Tensor:
    """A surrogate's gradient is dense, so torch's own convolution; of the images it asks the shape alone."""
    laid, dtype = weight.to(x.dtype).contiguous(memory_format=torch.channels_last), x.dtype
    if dtype == torch.bfloat16 and wide_torch.lacks_half():
        g, laid, x = g.float(), laid.float(), torch.empty_like(x, dtype=torch.float32)
    ones, mask = (1, 1), [True, False, False]
    found: Tensor = torch.ops.aten.convolution_backward(g, x, laid, None, ones, (form.padding,) * 2, ones, False, (0, 0), 1, mask)[0]
    return found.to(dtype)
