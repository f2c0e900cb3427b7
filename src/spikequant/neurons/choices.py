"""In what libraries' neurons differ: what a LIF can be asked for, and which charge reads which of it."""

from collections.abc import Iterator, Sequence
from inspect import Parameter, signature
from typing import Any, Literal, TypedDict, get_args, get_type_hints

from spikequant.errors import SpecError, unknown
from spikequant.numerics import Charge, Compare, Reset, ResetTiming, Snapped


class Choices(TypedDict, total=False):
    """In what libraries differ: the fields of ``spikequant.numerics.Dynamics``."""

    charge: Charge
    tau: float
    gain: float
    multiplier: int
    shift: int
    leak_rounding: Literal["floor", "trunc", "half_up"]
    reset: Reset
    reset_value: float
    reset_timing: ResetTiming
    detach_reset: bool
    compare: Compare
    compare_at: Literal["stored", "full"]
    state_shift: int
    rest: float


VALID = {name: get_args(kind) for name, kind in get_type_hints(Choices).items() if get_args(kind)} | {"snapped": get_args(Snapped)}
NAMES = ("decay", "threshold", "state", "surrogate", *get_type_hints(Choices), "snapped")
RELAXING = ("relax", "relax_input")
WHOLE = ("shift", "shift_min1", "multiply_shift")
READ_BY = {
    "decay": ("scale", "rate", "rate_input", *WHOLE),  # a rate has its decay in gain, and is given one all the same
    "gain": ("scale", "rate", "rate_input", *WHOLE),
    "rest": (*RELAXING, "rate", "rate_input"),
    "multiplier": ("multiply_shift",),
    "shift": WHOLE,
    "leak_rounding": ("multiply_shift",),
}


def refuse_choices(given: dict[str, Any], kinds: Sequence[type] = ()) -> None:
    """Refuse what a LIF cannot be asked for, or would not read; ``kinds`` are the classes of the neuron, whose own arguments it takes, too.

    Raises:
        SpecError: an unknown name or choice, or one that the charge does not read.

    >>> refuse_choices({"charge": "relax", "tau": 2.0, "rest": -0.5})
    """
    for name, value in given.items():
        if name not in NAMES:
            named, *_ = (*(kind.__name__ for kind in kinds), "LIF")
            raise SpecError(unknown(f"argument of {named}", name, sorted({*NAMES, *_arguments(kinds)})))
        if name in VALID and value not in VALID[name]:
            raise SpecError(unknown(name, str(value), VALID[name]))
    charge = given["charge"]
    for name, readers in READ_BY.items():
        if name in given and charge not in readers:
            raise SpecError(f"the charge {charge!r} does not read {name}, got {given[name]}; leave it out, or take charge={readers[0]!r}")


def _arguments(kinds: Sequence[type]) -> Iterator[str]:
    for kind in kinds:
        named = signature(kind.__init__).parameters.values()  # type: ignore[misc]
        yield from (each.name for each in named if each.kind is Parameter.POSITIONAL_OR_KEYWORD and each.name != "self")
