"""Which twin runs: the one place where a fast form of a hot function is chosen over its reference."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from spikequant.numerics import compacting, freezing, lloyd, lq, scan, sorting, stdp
from spikequant.numerics import norm as reference
from spikequant.numerics.charging import charged as charged_reference
from spikequant.numerics.charging import settled
from spikequant.numerics.grid import Grid
from spikequant.numerics.kernels import (
    compacting_native,
    events_native,
    freezing_native,
    lif_native,
    lif_ranging,
    lif_torch,
    noise_native,
    norm_native,
    norm_ranging,
    quant_native,
    sorting_native,
    stdp_native,
    whole_native,
    wide_torch,
)
from spikequant.numerics.norm import Norm, Tail
from spikequant.numerics.rounding import Rounding
from spikequant.numerics.rounding import uniform as uniform_reference
from spikequant.numerics.scan import Dynamics, Noise, State
from spikequant.numerics.snap import Gradient
from spikequant.numerics.snap import snap as snap_reference
from spikequant.numerics.sorting import Reals
from spikequant.numerics.stdp import Competition, Formats, Learned, Plasticity, Shown, Stream

# Input channels of a block of oneDNN's; on AVX2 it is 8. Below it the gradient of the weights of strided 1x1 convolutions, channels last,
# is wrong there or written past its memory (uxlfoundation/oneDNN#6035); so the pixels that such a convolution skips are left out before.
BLOCK = 16


def snap(grid: Grid, x: Tensor, rounding: Rounding = "nearest_even", gradient: Gradient = "pass", noise: Tensor | None = None) -> Tensor:
    """``spikequant.numerics.snap.snap`` by its fastest admitted twin: same values, same gradients, bit for bit.

    >>> import torch
    >>> from spikequant.numerics import affine
    >>> snap(affine(-1.0, 1.0, 3), torch.tensor([-2.0, 0.2])).tolist()
    [-1.0, 0.0]
    """
    if quant_native.fits(grid, x, rounding, gradient, noise):
        return quant_native.snap(grid, x, rounding, gradient, noise)
    return snap_reference(grid, x, rounding, gradient, noise)


def mixed(x: Tensor, hard: Tensor, frozen: Tensor, straight_through: bool = False) -> Tensor:
    """``spikequant.numerics.freezing.mixed`` by its fastest admitted twin: same values, same gradients, bit for bit."""
    run = freezing_native.mixed if freezing_native.fits(x, hard, frozen) else freezing.mixed
    return run(x, hard, frozen, straight_through)


def compact(x: Tensor) -> Tensor | None:
    """``spikequant.numerics.compacting.compact`` by its fastest admitted twin."""
    return compacting_native.compact(x) if compacting_native.fits(x) else compacting.compact(x)


def expanded(small: Tensor, dtype: torch.dtype) -> Tensor:
    """``spikequant.numerics.compacting.expanded`` by its fastest admitted twin."""
    if dtype == torch.float32 and small.device.type == "cpu":
        return compacting_native.expanded(small)
    return compacting.expanded(small, dtype)


def uniform(seed: int, layer: int, step: int, index: Tensor) -> Tensor:
    """``spikequant.numerics.rounding.uniform`` by its fastest admitted twin, bit for bit."""
    if noise_native.fits(index):
        return noise_native.uniform(seed, layer, step, index)
    return uniform_reference(seed, layer, step, index)


def fit_basis(weights: Tensor, basis: Tensor, ridge: float = 1e-4) -> Tensor:
    """``spikequant.numerics.lq.fit_basis`` by its fastest admitted twin: the same basis but for the order of its float64 sums."""
    if quant_native.fits_basis(weights, basis):
        return quant_native.fit_basis(weights, basis, ridge)
    return lq.fit_basis(weights, basis, ridge)


def fit_levels(values: Tensor, levels: Tensor, held: Tensor) -> Tensor:
    """``spikequant.numerics.lloyd.fit_levels`` by its fastest admitted twin: the same levels but for the order of its float64 sums."""
    sums = quant_native.level_sums if quant_native.fits_levels(values, levels) else lloyd.level_sums
    return lloyd.means(levels, held, *sums(values, levels))


def charged(
    current: Tensor, dynamics: Dynamics, state: State | None = None, start: Tensor | None = None, noise: Noise | None = None
) -> Iterator[Tensor]:
    """``spikequant.numerics.charging.charged`` by the fastest admitted twin of its scan, bit for bit."""
    return charged_reference(current, dynamics, state, start, noise, lif_scan)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, unit: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.conv2d`` with one stride and padding for both axes; images that are mostly zero go event by event.

    ``unit``: where no gradient is asked for and the weights are whole multiples of it, one for all or one for each output channel;
    whole images are then summed exactly. The twins sum in another order than torch, so that values differ by rounding; which form
    runs follows from the call alone.

    >>> import torch
    >>> conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)).flatten().tolist()
    [4.0, 4.0, 4.0, 4.0]
    """
    if stride > 1 and padding == 0 and tuple(weight.shape[2:]) == (1, 1) and weight.shape[1] < BLOCK:
        x, stride = x[..., ::stride, ::stride], 1
    form = events_native.Form(weight.shape[-1], padding)
    plain = bias is None or (bias.dtype == torch.float32 and bias.shape == weight.shape[:1])
    if plain and stride == 1 and events_native.fits(x, weight, form) and events_native.is_promising(x, weight):
        events = events_native.events_in(events_native.ready(), x)
        codes = None if unit is None else whole_native.codes(x, weight, unit, events)
        if unit is not None and codes is not None:
            return whole_native.conv2d(x, codes, unit, bias, form)
        if events_native.pays(x, weight, events):
            return events_native.conv2d(x, weight, bias, form)
    run = wide_torch.conv2d if wide_torch.fits(x) else functional.conv2d
    found: Tensor = run(x, weight, bias, stride, padding)
    return found


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear``, in bfloat16 also where the processor has no instructions for it."""
    return (wide_torch.linear if wide_torch.fits(x) else functional.linear)(x, weight, bias)


def lif_scan(
    current: Tensor,
    dynamics: Dynamics,
    state: State | None = None,
    start: Tensor | None = None,
    noise: Noise | None = None,
    steps: int | None = None,
    counts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """``spikequant.numerics.scan.lif_scan`` by its fastest admitted twin: same spikes, same membranes, bit for bit.

    ``counts`` ``[batch, ...]``, float32, is filled with how often each neuron fired. Half-precision currents give spikes of their own
    dtype; membranes accumulate, so they stay float32, and a start of another type is taken as one. There are first derivatives
    only, and ``create_graph=True`` is refused, but where the reference itself runs.

    >>> import torch
    >>> counts = torch.empty(1, 1)
    >>> lif_scan(torch.ones(2, 1, 1), Dynamics(torch.tensor(1.0)), counts=counts)[0].flatten().tolist(), counts.item()
    ([1.0, 1.0], 2.0)
    """
    scan.check(current, start, steps)
    scan.refuse_unknown(dynamics, state)
    if start is not None:
        start = start.to(torch.promote_types(current.dtype, torch.float32))  # as membranes are: a twin reads its memory as float32
    state = settled(state, scan.widened(current), dynamics, start, steps)
    if lif_native.fits(current, dynamics, state, noise):
        return lif_native.lif_scan(current, dynamics, state, start, steps, counts)
    spikes, last = _other_scan(current, dynamics, state, start, noise, steps)
    if counts is not None:
        counts.copy_(spikes.detach().sum(0, dtype=torch.float32))  # half precision counts to 256 or 2048
    return spikes, last


def _other_scan(
    current: Tensor, dynamics: Dynamics, state: State | None, start: Tensor | None, noise: Noise | None, steps: int | None
) -> tuple[Tensor, Tensor]:
    if current.is_cuda and _has_triton():
        from spikequant.numerics.kernels import lif_triton  # loads Triton, which only CUDA tensors need

        if lif_triton.fits(current, dynamics, state, noise):
            return lif_triton.lif_scan(current, dynamics, state, start, steps)
    wide = scan.widened(current)
    if wide is not current:
        spikes, last = lif_scan(wide, dynamics, state, start, noise, steps)
        return spikes.to(current.dtype), last
    if state is not None and lif_ranging.fits(current, dynamics, state, noise):
        return lif_ranging.lif_scan(current, dynamics, state, start, steps, snap)
    if lif_torch.fits(current, dynamics, state, noise):
        return lif_torch.lif_scan(current, dynamics, state, start, steps)
    return scan.lif_scan(current, dynamics, state, start, noise, steps)


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def norm_scan_fits(current: Tensor, dynamics: Dynamics, state: State | None, tail: Tail) -> bool:
    """Whether ``norm_scan`` covers a call; where it does not, its parts run one by one."""
    return norm_native.fits(current, dynamics, state, tail) or norm_ranging.fits(current, dynamics, state, tail)


def moments(current: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel of ``[time, batch, channel, height, width]``, without gradient.

    Summed in float64; by C over fixed blocks in one order, so that any number of threads gives the same bits.

    >>> [each.tolist() for each in moments(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1))]
    [[2.0], [1.0]]
    """
    if not norm_native.has_moments(current):
        variance, mean = torch.var_mean(current.detach().double(), (0, 1, 3, 4), correction=0)
        dtype = torch.promote_types(current.dtype, torch.float32)
        return mean.to(dtype), variance.to(dtype)
    rows = norm_native.channels_last(current.detach())
    return norm_native.moments(rows.reshape(-1, rows.shape[-1]))


def norm_scan(
    current: Tensor,
    norm: Norm,
    dynamics: Dynamics,
    state: State | None = None,
    steps: int | None = None,
    tail: Tail = Tail(),  # noqa: B008 - an immutable default
) -> Tensor:
    """``spikequant.numerics.norm.norm_scan`` by its fastest admitted twin: same spikes, bit for bit."""
    scan.check(current, None, steps)
    scan.refuse_unknown(dynamics, state)
    run = None
    if norm_native.fits(current, dynamics, state, tail):
        run = norm_native.run_all
    elif norm_ranging.fits(current, dynamics, state, tail):
        run = norm_ranging.run
    if run is not None and norm_native.agree(current, norm, steps, tail):
        return norm_native.norm_scan(current, norm, dynamics, state, steps, tail, run=run)
    return reference.norm_scan(current, norm, dynamics, state, steps, tail)


def present(
    chances: Tensor,
    learned: Learned,
    competition: Competition,
    plasticity: Plasticity | None = None,
    formats: Formats | None = None,
    stream: Stream | None = None,
    watch: bool = False,
) -> Shown:
    """``spikequant.numerics.stdp.present`` by its fastest admitted twin: same spikes, same weights, bit for bit."""
    twin = stdp_native.present if stdp_native.fits(learned, formats) else stdp.present
    return twin(chances, learned, competition, plasticity, formats, stream, watch)


def sorted_gaps(a: Reals, b: Reals) -> Reals:
    """``spikequant.numerics.sorting.sorted_gaps`` by its fastest admitted twin: same distances, bit for bit.

    >>> import numpy as np
    >>> float(sorted_gaps(np.array([1.0, 0.0]), np.array([0.5, 1.0])))
    0.25
    """
    found = sorting_native.sorted_gaps(a, b)
    return sorting.sorted_gaps(a, b) if found is None else found
