"""The CPU twin of ``lif_scan``: C over tiles of neurons; backward from kept codes, or by recomputing each tile in cache."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics.grid import Affine, Table, bounds
from spikequant.numerics.kernels.first_order import refuse_second_order
from spikequant.numerics.kernels.native import library
from spikequant.numerics.kernels.pool import empty
from spikequant.numerics.ranging import Ranging
from spikequant.numerics.scan import Charge, Dynamics, State

TILE = 512
CHARGE = {"scale": 0, "relax": 1, "relax_input": 2, "shift": 3, "shift_min1": 4, "multiply_shift": 5}
RESET = {"subtract": 0, "value": 1, "none": 2}
LEAK = {"floor": 0, "trunc": 1, "half_up": 2}
ROUNDING = {"nearest_even": 0, "half_up": 1, "truncate": 2}
SURROGATE = {"arctan": 0, "sigmoid": 1, "fast_sigmoid": 2, "triangle": 3, "squat": 4}
SNAPPED = {"before_fire": 1, "after_reset": 2, "both": 3}
GRADIENT = {"pass": 0, "mask": 1, "stacked": 2}
SERIAL_BELOW = 2**15

_INTS = "charge reset leak_rounding next strict detach_reset full surrogate grid rounding snapped gradient size wrap edges"
_FLOATS = "tau gain leak reset_value slope height up down step lowest shift low high"


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
    """Whether the twin covers this call, in which threshold and step may be learned; where it does not, the reference runs."""
    return current.device.type == "cpu" and current.dtype == torch.float32 and computes(current, d, state, noise) and library() is not None


def covers(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """Whether a fused scan, on any device, computes this call: nothing learned, no noise, one grid for all."""
    return not any(each is not None for each in learned(d, state)) and computes(current, d, state, noise)


def learned(d: Dynamics, state: State | None) -> tuple[Tensor | None, Tensor | None]:
    """The threshold and the grid's step, where they ask for gradients."""
    step = state.grid.step if state is not None and isinstance(state.grid, Affine) else None
    threshold = d.threshold if d.threshold.requires_grad else None
    return threshold, step if step is not None and step.requires_grad else None


def computes(current: Tensor, d: Dynamics, state: State | None, noise: object) -> bool:
    """As ``covers``, but threshold and step may be learned."""
    if noise is not None or d.charge not in CHARGE or d.reset_timing not in ("now", "next") or d.rest is not None:
        return False
    if isinstance(d.tau, Tensor) or isinstance(d.gain, Tensor) or isinstance(d.reset_value, Tensor):
        return False  # what C takes is kept for the next call, and a tensor may change until then
    if isinstance(d.decay, Tensor) and d.decay.requires_grad:
        return False
    if not all(_is_per_channel(each, current) for each in (d.threshold, d.decay) if isinstance(each, Tensor)):
        return False
    return state is None or _grid_fits(state)


def _is_per_channel(constant: Tensor, current: Tensor) -> bool:
    return constant.numel() == 1 or tuple(constant.shape) == (1, *current.shape[2:3], *[1] * (current.ndim - 3))


def _grid_fits(state: State) -> bool:
    if isinstance(state.grid, Ranging) or state.squash or (state.gradient == "stacked" and state.wrap):
        return False
    if isinstance(state.grid, Table):
        fits = state.grid.levels.ndim == 1 and 2 <= state.grid.size <= 65536
        return fits and state.gradient != "stacked" and state.rounding == "nearest_even"
    return state.grid.step.ndim == 0 and not (state.grid.step.requires_grad and state.wrap) and state.rounding in ROUNDING


def lif_scan(
    current: Tensor,
    dynamics: Dynamics,
    state: State | None,
    start: Tensor | None,
    steps: int | None = None,
    counts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The twin of ``spikequant.numerics.scan.lif_scan``, for calls that it ``fits``."""
    constants = learned(dynamics, state)
    if torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (current, start, *constants)):
        spikes, last = _Scan.apply(current, start, *constants, dynamics, state, steps, counts)  # type: ignore[no-untyped-call]
        return spikes, last
    return _forward(current, start, dynamics, state, steps, counts, keep=False)[1]


class Call:
    """The arguments of one call over dense ``x`` ``[time, ...]``; ``inner`` is the stride of its channels. Keeps alive what C points to."""

    def __init__(self, x: Tensor, inner: int, d: Dynamics, state: State | None, steps: int | None) -> None:
        self.shape = x.shape
        self.neurons = x.stride(0) if x.shape[0] > 1 else x.numel()
        self.steps, self.stride = (x.shape[0], self.neurons) if steps is None else (steps, 0)
        self.threshold, self.decay = _constant(d.threshold), _constant(d.decay)
        self.levels = self.middles = None
        if state is not None and isinstance(state.grid, Table):
            self.levels = state.grid.levels.detach().float().contiguous()
            edges = state.grid.edges  # None: C computes the midpoints
            self.middles = (
                torch.empty(state.grid.size - 1, device="cpu", dtype=torch.float32) if edges is None else edges.float().contiguous()
            )
        self.spec = _spec(d, state)
        each = self.threshold.numel(), self.decay.numel()
        self.tables = Tables(
            self.threshold.data_ptr(), self.decay.data_ptr(), each[0] > 1, each[1] > 1, inner, max(each),
            pointer(self.levels), pointer(self.middles),
        )  # fmt: skip
        self.threads = torch.get_num_threads() if self.steps * self.neurons >= SERIAL_BELOW else 1

    def head(self) -> tuple[Any, ...]:
        """The arguments that both directions begin with."""
        return ctypes.byref(self.spec), ctypes.byref(self.tables), self.steps, self.neurons

    def lent(self) -> tuple[Tensor, ...]:
        """What backward reads again that may be others' memory."""
        return watchable(self.threshold, self.decay, self.levels, self.middles)


def watchable(*lent: Tensor | float | None) -> tuple[Tensor, ...]:
    """What autograd is to save, so that it refuses a backward after one of these was changed; tensors made for inference it cannot."""
    return tuple(each for each in lent if isinstance(each, Tensor) and not each.is_inference())


def _constant(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor) and value.dtype == torch.float32 and value.is_contiguous():
        return value.detach()
    return torch.as_tensor(value, dtype=torch.float32, device="cpu").detach().contiguous()


@functools.lru_cache(maxsize=256)
def _dynamics_spec(charge: Charge, choices: tuple[Any, ...]) -> Spec:
    """What hangs on neither threshold nor decay nor grid, as C takes it; never altered."""
    d = Dynamics(torch.empty(0), charge, 1.0, *choices)
    leak = d.multiplier * 2.0**-d.shift if d.charge == "multiply_shift" else 2.0**-d.shift
    return Spec(
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
        height=d.surrogate.height,
        up=2.0**d.state_shift,
        down=2.0**-d.state_shift,
    )


def _spec(d: Dynamics, state: State | None) -> Spec:
    spec = _dynamics_spec(d.charge, d[3:])
    if state is None:
        return spec
    spec = Spec.from_buffer_copy(spec)
    spec.grid, spec.size = 1 if isinstance(state.grid, Affine) else 2, state.fixed.size
    spec.rounding, spec.snapped = ROUNDING[state.rounding], SNAPPED[state.snapped]
    spec.gradient, spec.wrap = GRADIENT[state.gradient], state.wrap
    if spec.gradient or spec.wrap or learned(d, state)[1] is not None:
        spec.low, spec.high = (bound.item() for bound in bounds(state.fixed))
    if isinstance(state.grid, Table):
        spec.edges = state.grid.edges is not None
    if isinstance(state.grid, Affine):
        spec.step, spec.lowest, spec.shift = state.grid.step.item(), state.grid.lowest.item(), state.grid.shift.item()
    return spec


@functools.cache
def functions(c: ctypes.CDLL) -> tuple[Any, Any, Any]:
    """Forward, backward, and whether backward goes by codes, of a library."""
    place, count = ctypes.c_void_p, ctypes.c_int64
    head: list[Any] = [place, place, count, count, place, count, place]
    c.sq_lif_forward.argtypes, c.sq_lif_forward.restype = [*head, place, place, place, place, ctypes.c_int], count
    c.sq_lif_backward.argtypes, c.sq_lif_backward.restype = [*head, *[place] * 8, ctypes.c_int], None
    c.sq_lif_keeps_codes.argtypes = [place]
    return c.sq_lif_forward, c.sq_lif_backward, c.sq_lif_keeps_codes


def run_forward(
    c: ctypes.CDLL, call: Call, x: Tensor, start: Tensor | None, keep: bool = False, counts: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, the last membrane, and the codes that backward needs instead of the current, where it does."""
    forward, _, keeps_codes = functions(c)
    spikes, last = empty((call.steps, *call.shape[1:])), empty(call.shape[1:])
    codes = empty(spikes.shape, torch.uint8) if keep and keeps_codes(ctypes.byref(call.spec)) else None
    places = pointer(start), spikes.data_ptr(), last.data_ptr(), pointer(codes), pointer(counts)
    bad = forward(*call.head(), x.data_ptr(), call.stride, *places, call.threads)
    if bad:
        raise SpecError(f"the current of a neuron holds {bad} NaN; look at the layer before it")
    return spikes, last, codes


def run_backward(
    c: ctypes.CDLL,
    call: Call,
    kept: tuple[Tensor | None, Tensor | None, Tensor | None],
    to_spikes: Tensor,
    to_last: Tensor | None,
    wanted: tuple[bool, bool] = (False, False),
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The gradients of current and start, and each neuron's of the threshold and of the grid's step, where they are ``wanted``.

    ``kept``: current (or None), codes (or None), start (or None).
    """
    x, codes, start = map(pointer, kept)
    to_current, to_start = empty(call.shape), empty(call.shape[1:])
    scratch = torch.empty(2 * call.threads * call.steps * TILE, dtype=torch.float32, device="cpu")
    to_threshold, to_step = (empty(call.shape[1:]) if each else None for each in wanted)
    places = to_spikes.data_ptr(), pointer(to_last), to_current.data_ptr(), to_start.data_ptr(), codes, scratch.data_ptr()
    functions(c)[1](*call.head(), x, call.stride, start, *places, pointer(to_threshold), pointer(to_step), call.threads)
    return to_current, to_start, to_threshold, to_step


def _forward(
    current: Tensor, start: Tensor | None, d: Dynamics, state: State | None, steps: int | None, counts: Tensor | None, *, keep: bool
) -> tuple[Any, tuple[Tensor, Tensor]]:
    """What backward needs, and spikes and last membrane."""
    order = memory_order(current) if current.ndim == 5 else None
    x = current.detach() if order is None else current.detach().permute(order)
    x = x.contiguous()
    inner = 1 if x.ndim <= 2 else x.stride(2 if order is None else order.index(2))
    call = Call(x, inner, d, state, steps)
    begin = None if start is None else _laid(start.detach(), order)
    c = library()
    assert c is not None, "fits() asked for it"
    plain = order is None and counts is not None and counts.is_contiguous() and (counts.dtype, counts.shape) == (x.dtype, x.shape[1:])
    heard = None if counts is None or plain else empty(x.shape[1:])
    spikes, last, codes = run_forward(c, call, x, begin, keep, counts if heard is None else heard)
    if order is not None:
        back = tuple(order.index(axis) for axis in range(x.ndim))
        spikes, last = spikes.permute(back), last.unsqueeze(0).permute(back).squeeze(0)
        heard = None if heard is None else heard.unsqueeze(0).permute(back).squeeze(0)
    if heard is not None and counts is not None:
        counts.copy_(heard)
    return (call, order, x if codes is None else None, codes, begin), (spikes, last)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, start: Tensor | None, threshold: Tensor | None, step: Tensor | None, *given: Any) -> Any:
        dynamics, state, steps, counts = given
        ctx.learned = [None if each is None else each.shape for each in (threshold, step)]
        keep = threshold is None and step is None  # codes do not tell what was rounded
        (ctx.call, ctx.order, *kept), found = _forward(current, start, dynamics, state, steps, counts, keep=keep)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*kept, *ctx.call.lent())
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_order()
        call, order, kept = ctx.call, ctx.order, ctx.saved_tensors[:3]
        spikes, last = gradients
        to_spikes = torch.zeros(call.steps, *call.shape[1:], dtype=torch.float32, device="cpu") if spikes is None else _dense(spikes, order)
        c = library()
        assert c is not None, "forward used it"
        wanted = ctx.learned[0] is not None, ctx.learned[1] is not None
        to_current, *rest = run_backward(c, call, kept, to_spikes, None if last is None else _laid(last, order), wanted)
        if order is not None:
            back = tuple(order.index(axis) for axis in range(to_current.ndim))
            to_current = to_current.permute(back)
            rest = [None if each is None else each.unsqueeze(0).permute(back).squeeze(0) for each in rest]
        to_start, *to_constants = rest
        summed = (None if each is None else each.sum_to_size(shape) for each, shape in zip(to_constants, ctx.learned, strict=True))
        return to_current, None if kept[2] is None else to_start, *summed, None, None, None, None


def memory_order(current: Tensor) -> tuple[int, ...]:
    """The axes as they lie in memory: images may be laid out channels last, and stay so."""
    last = (0, 1, 3, 4, 2)
    is_last = current.ndim == 5 and not current.is_contiguous() and current.permute(last).is_contiguous()
    return last if is_last else tuple(range(current.ndim))


def _dense(x: Tensor, order: tuple[int, ...] | None) -> Tensor:
    return (x if order is None else x.permute(order)).contiguous()


def _laid(step: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """One time step, laid out as the current."""
    return step.contiguous() if order is None else step.unsqueeze(0).permute(order).squeeze(0).contiguous()


def pointer(tensor: Tensor | None) -> int | None:
    """Where the values of a dense tensor begin."""
    return None if tensor is None else tensor.data_ptr()
