"""The CPU twin of convolution without gradient where images and weights are whole numbers: weights in bytes, exact sums in 16 bits."""

import ctypes

import torch
from torch import Tensor

from spikequant.numerics.kernels.events_native import LANE, Events, Form, blocked, lanes, pass_over, ready
from spikequant.numerics.kernels.pool import empty

# As in events_native: a byte is a quarter of what a float moves, so that more events pay.
DENSEST = {1: 0.0, 2: 0.4, 4: 0.5}
MOST, MOST_SUM = 127, 2**15 - 1


def codes(x: Tensor, weight: Tensor, unit: Tensor, events: Events) -> Tensor | None:
    """The weights in units, as bytes; None where the twin does not cover this call or another form is faster.

    ``unit``: for all weights, or ``[channel]`` for those of each output channel. Images must be float32 of whole numbers so small
    that no sum leaves 16 bits.
    """
    if x.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or events.most < 0 or events.share >= DENSEST[lanes(weight)]:
        return None
    each = unit.reshape(-1, 1, 1, 1)
    found = (weight / each).round()
    sums = found.abs().sum((1, 2, 3)).max() * events.most
    if not (found.abs().max() <= MOST and sums <= MOST_SUM and torch.equal(found * each, weight)):
        return None
    return found.to(torch.int8)


def conv2d(x: Tensor, codes: Tensor, unit: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """The convolution of stride 1 with weights ``unit * codes``: exact sums, then one multiplication and the bias."""
    return run_forward(ready(), x.permute(0, 2, 3, 1).contiguous(), codes, (unit, bias), form).permute(0, 3, 1, 2)


def run_forward(c: ctypes.CDLL, x: Tensor, codes: Tensor, scale: tuple[Tensor, Tensor | None], form: Form) -> Tensor:
    """The output ``[image, height, width, channel]`` of images laid out so; ``scale``: unit and bias."""
    outputs, (unit, bias) = len(codes), scale
    form_of_c, room, threads = pass_over(c, x, codes, form)
    grown = 2 * form.padding - form.kernel + 1
    y = empty((len(x), x.shape[1] + grown, x.shape[2] + grown, outputs))
    weights, units = blocked(codes, LANE * form_of_c.lanes), unit.expand(outputs).contiguous()
    begin = torch.zeros(outputs, dtype=torch.float32, device="cpu") if bias is None else bias.contiguous()
    places = (each.data_ptr() for each in (x, weights, units, begin, y, room))
    c.sq_whole_forward(ctypes.byref(form_of_c), *places, threads)
    return y
