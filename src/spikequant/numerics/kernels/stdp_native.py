"""The CPU twin of ``present``: plain C that pays for spikes only."""

import ctypes

import torch
from torch import Tensor

from spikequant.errors import SpikequantError
from spikequant.numerics.grid import bounds
from spikequant.numerics.kernels.native import library
from spikequant.numerics.stdp import READ, Competition, Conductance, Format, Formats, Learned, Plasticity, Shown, Stream, check, held

ROUNDING = {"half_up": 1, "truncate": 2, "stochastic": 3}
HOLDING = {"on_change": 0, "every_step": 1, "in_place": 2}
LONGEST = 2**24


class CFormat(ctypes.Structure):
    """The C struct ``Format``."""

    _fields_ = [("rounding", ctypes.c_int32), *[(name, ctypes.c_float) for name in ("step", "low", "high")]]


_INTS = "inputs neurons steps learning single conductance refractory holding"
_FLOATS = (
    "decay rest reset threshold inhibition theta_plus theta_decay "
    "excitatory_decay inhibitory_decay excitatory_reversal inhibitory_reversal leak pre post low high total"
)


class CShow(ctypes.Structure):
    """The C struct ``Show``."""

    _fields_ = [
        *[(name, ctypes.c_int32) for name in _INTS.split()],
        *[(name, ctypes.c_float) for name in _FLOATS.split()],
        *[(name, CFormat) for name in ("weight", "v", "bound")],
        ("seed", ctypes.c_int64),
        ("first", ctypes.c_int64),
    ]


def fits(learned: Learned, formats: Formats | None) -> bool:
    """Whether the twin covers a call: float32 on the CPU, whole multiples of a power of two as grids."""
    wanted = [] if formats is None else [each for each in formats[:3] if each is not None]
    plain = all(each.device.type == "cpu" and each.dtype == torch.float32 for each in learned)
    return plain and all(map(_covered, wanted)) and bool(library())


def _covered(form: Format) -> bool:
    grid = form.grid
    dyadic = grid.step.ndim == 0 and torch.frexp(grid.step).mantissa == 0.5 and grid.shift == 0
    return bool(dyadic) and form.rounding in ROUNDING and grid.size <= LONGEST


def present(
    chances: Tensor,
    learned: Learned,
    competition: Competition,
    plasticity: Plasticity | None = None,
    formats: Formats | None = None,
    stream: Stream | None = None,
    watch: bool = False,
) -> Shown:
    """The twin of ``spikequant.numerics.stdp.present``, for calls that it ``fits``."""
    c = library()
    if c is None:
        raise SpikequantError("there is no C library; look at spikequant.numerics.kernels_in_use()")
    check(chances, learned)
    formats, stream = formats or Formats(), stream or Stream()
    chances = chances.float().contiguous()
    weight, theta = learned.weight.clone(memory_format=torch.contiguous_format), learned.theta.clone()
    used = held(weight, formats.weight, stream, READ, stream.first * stream.steps).contiguous()
    redrawn = formats.weight is not None and formats.weight.rounding == "stochastic" and formats.holding == "every_step"
    if plasticity is not None and (redrawn or formats.weight is None):
        used = weight
    elif plasticity is not None and formats.holding == "in_place":
        weight = used
    counts = torch.zeros(len(chances), len(theta), dtype=torch.int32, device="cpu")
    extremes = torch.tensor([[torch.inf, -torch.inf]], dtype=torch.float32, device="cpu").repeat(3, 1)
    settings = _settings(learned, competition, plasticity, formats, stream)
    pointers = [each.data_ptr() for each in (chances, weight, used, theta, counts)]
    done = c.sq_present(
        ctypes.byref(settings), ctypes.c_int64(len(chances)), *map(ctypes.c_void_p, pointers),
        ctypes.c_void_p(extremes.data_ptr() if watch else None),
        ctypes.c_float((plasticity or Plasticity()).trace_decay), torch.get_num_threads(),
    )  # fmt: skip
    if not done:
        raise MemoryError("no memory for the state of the neurons")
    return Shown(counts, Learned(weight, theta), extremes if watch else None)


def _settings(learned: Learned, c: Competition, p: Plasticity | None, f: Formats, stream: Stream) -> CShow:
    inputs, neurons = learned.weight.shape
    fields = {**c._asdict(), **(c.conductance or Conductance())._asdict(), **(p or Plasticity())._asdict()}
    given = {name: fields[name] for name in (*_FLOATS.split(), "refractory", "single")}
    shape = {"inputs": inputs, "neurons": neurons, "steps": stream.steps, "seed": stream.seed, "first": stream.first}
    choices = {"learning": p is not None, "conductance": c.conductance is not None, "holding": HOLDING[f.holding]}
    grids = {"weight": _format(f.weight), "v": _format(f.v), "bound": _format(f.threshold)}
    return CShow(**given, **shape, **choices, **grids)


def _format(form: Format | None) -> CFormat:
    if form is None:
        return CFormat()
    low, high = bounds(form.grid)
    return CFormat(ROUNDING[form.rounding], float(form.grid.step), float(low), float(high))
