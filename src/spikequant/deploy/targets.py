"""What chips and formats ask of a program, as data; and the fields in which a program breaks it, with the nearest legal value."""

from typing import Any, Literal, NamedTuple

from spikequant.deploy.bounds import weights
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.deploy.operations import Conv2d, Dense, Lif, Synapse
from spikequant.deploy.program import INPUT, Program
from spikequant.deploy.rails import midway, rails
from spikequant.errors import SpecError, unknown
from spikequant.quantizers import Spec
from spikequant.recipes import Recipe


class Target(Spec):
    """The limits of one target; a field that is None sets none.

    ``leaks`` and ``resets`` are those of ``Lif``; ``leak_shift`` and ``leak_amount`` the most of a leak's ``shift`` and ``amount``.
    ``first_weight_bits``: for layers that see the input itself, where more are allowed there; ``weight_levels``: different weights, 0
    apart, that one neuron can have; ``steps``: in time. ``one_threshold``: one for all channels of a layer. ``even_weights``: codes in
    even steps. ``refractory``: a neuron can pause after a spike; ``lateral``: neurons of a layer can act on each other.
    ``per_event``: sums saturate after every event, so exactness needs sums that never reach the rail. ``current``: there can be a
    synaptic current, of the limits of a membrane. ``plain``: a state has all of its bits, so one of fewer must not reach its rails; no
    accumulator is finer than the state, and a neuron fires by its stored state, is reset at once and emits spikes, where code could do
    otherwise.
    ``unverified``: fields that the sources at hand do not settle.
    """

    weight_bits: int | None = None
    first_weight_bits: int | None = None
    weight_levels: int | None = None
    steps: int | None = None
    planes: bool = True
    even_weights: bool = False
    state_bits: int | None = None
    signed: bool | None = True
    leaks: tuple[str, ...] | None = None
    leak_rounding: str | None = None
    leak_shift: int | None = None
    leak_amount: int | None = None
    current: bool = False
    one_threshold: bool = False
    compare: Literal[">=", ">"] | None = ">="
    resets: tuple[str, ...] | None = ("subtract", "value")
    overflow: Literal["saturate", "wrap"] | None = "saturate"
    max_spikes: int | None = 1
    codebook: bool = False
    refractory: bool = False
    lateral: bool = False
    per_event: bool = False
    plain: bool = False
    unverified: tuple[str, ...] = ()


PLAIN = {"shift": 0, "timing": "now", "compare_at": "stored", "snapped": "before_fire", "emits": "spikes"}
NEAREST: dict[str, dict[str, tuple[str, ...]]] = {
    "leak": {
        "none": ("constant", "multiply_shift", "shift", "shift_min1"),  # an amount of 0, or a factor of 1, is no leak
        "shift": ("shift_min1", "multiply_shift", "constant", "none"),
        "shift_min1": ("shift", "multiply_shift", "constant", "none"),
        "multiply_shift": ("shift", "shift_min1", "constant", "none"),
        "constant": ("shift_min1", "shift", "multiply_shift", "none"),
    },
    "reset": {"subtract": ("value", "none"), "value": ("subtract", "none"), "none": ("subtract", "value")},
}
SHIFTS = ("none", "shift", "multiply_shift", "shift_min1")
TARGETS: dict[str, Target] = {
    "generic-w4v8": Target(weight_bits=4, state_bits=8, leaks=SHIFTS, codebook=True, refractory=True, lateral=True),
    "generic-w8v16": Target(weight_bits=8, state_bits=16, leaks=SHIFTS, codebook=True, refractory=True, lateral=True),
    "mcu-w1v8": Target(weight_bits=1, state_bits=8, leaks=("none", "shift"), refractory=True, lateral=True),
    "mcu-w2v8": Target(weight_bits=2, state_bits=8, leaks=("none", "shift"), refractory=True, lateral=True),
    "lq-w2v8": Target(weight_bits=2, state_bits=8, leaks=SHIFTS, codebook=True, refractory=True, lateral=True),
    "lq-w3v8": Target(weight_bits=3, state_bits=8, leaks=SHIFTS, codebook=True, refractory=True, lateral=True),
    "spinnaker2-8b": Target(
        weight_bits=8, state_bits=32, signed=None, compare=None, resets=None, overflow=None, max_spikes=None, codebook=True, current=True,
        refractory=True, lateral=True, unverified=("bits", "state_bits"),
    ),
    # Not checked: membranes saturate at -(2^23 - 1), one above the lowest of 24 bits.
    "loihi-lif": Target(
        weight_bits=8, planes=False, even_weights=True, state_bits=24, leaks=("none", "multiply_shift"), leak_rounding="trunc",
        leak_shift=12, one_threshold=True, compare=">", resets=("value",), refractory=True, plain=True, unverified=("lateral",),
    ),
    "xylo": Target(
        weight_bits=8, planes=False, state_bits=16, leaks=("shift_min1",), current=True, resets=("subtract",), max_spikes=31,
        per_event=True, plain=True, unverified=("lateral", "refractory"),
    ),
    "speck": Target(
        weight_bits=8, planes=False, state_bits=16, leaks=("none",), one_threshold=True, per_event=True, plain=True,
        unverified=("compare", "lateral", "overflow", "refractory"),
    ),
    # Not checked: the types of axons by which a weight is chosen are the same for all neurons of a core.
    "truenorth": Target(
        weight_bits=9, weight_levels=4, planes=False, state_bits=20, leaks=("none", "constant"), resets=("subtract", "value", "none"),
        plain=True, unverified=("bits", "compare", "lateral", "overflow", "refractory", "state_bits"),
    ),
    # No membrane outlasts a step: what runs there is one step of a program, its spikes counted as activations of 4 or 8 bits.
    "akida1": Target(
        weight_bits=4, first_weight_bits=8, steps=1, planes=False, signed=None, compare=None, resets=None, overflow=None, max_spikes=15,
        unverified=("compare", "lateral", "overflow", "refractory", "reset"),
    ),
    "akida2": Target(
        weight_bits=8, steps=1, planes=False, signed=None, compare=None, resets=None, overflow=None, max_spikes=255,
        unverified=("compare", "lateral", "overflow", "refractory", "reset"),
    ),
    "odin": Target(
        weight_bits=4, planes=False, state_bits=8, signed=False, leaks=("constant",), leak_amount=127, resets=("value",),
        per_event=True, plain=True, unverified=("lateral", "refractory"),
    ),
}  # fmt: skip


class Violation(NamedTuple):
    """A field that a layer breaks: its value, the nearest legal one, and whether the limit itself is unverified."""

    layer: str
    field: str
    value: Any
    nearest: Any
    unverified: bool = False

    def __str__(self) -> str:
        """One sentence."""
        doubt = " (a limit that is unverified)" if self.unverified else ""
        return f"{self.layer}: {self.field} is {self.value!r}; nearest legal value: {self.nearest!r}{doubt}"


def violations(program: Program, target: str) -> list[Violation]:
    """Every field in which a program breaks a target; none: it passes. Nothing is clipped.

    Raises:
        SpecError: the target is unknown.

    >>> TARGETS["loihi-lif"].compare
    '>'
    """
    limits, header, found = _limits(target), program.header, list[Violation]()
    if limits.steps is not None and header.time > limits.steps:
        found.append(Violation(header.name, "time", header.time, limits.steps))
    for op in header.operations:
        if isinstance(op, Dense | Conv2d):
            found += _weights(program, op, limits)
        elif isinstance(op, Lif):
            found += _neurons(program, op, limits)
        elif isinstance(op, Delay | Inhibit | Winner) and not limits.lateral:
            found.append(Violation(op.name, "lateral", op.kind, None))
    return [each._replace(unverified=each.field in limits.unverified) for each in found]


def recipe(target: str, **how: Any) -> Recipe:
    """The integer recipe of a target: its bits of weights and states, and a leak that it has. ``how`` is ``Recipe.integer``'s.

    ``lower`` of such a network is exact. What is the network's own (its reset, its time, a leak that is no shift) ``violations`` says.

    Raises:
        SpecError: the target is unknown, asks for what training in whole numbers cannot give, or ``how`` says bits that are its own.

    >>> recipe("mcu-w2v8") == Recipe.integer(2, 8, leak_rounding="half_up")  # half of a membrane, as a shift
    True
    """
    limits, fixed = _limits(target), sorted({"weight_bits", "state_bits"} & how.keys())
    if fixed:
        raise SpecError(f"{target} says {' and '.join(fixed)} itself; leave that out, or use Recipe.integer")
    refused = {
        "leaks": limits.leaks is not None and not {"shift", "multiply_shift"} & set(limits.leaks),
        "signed": limits.signed is False,
        "one_threshold": limits.one_threshold,
        "even_weights": limits.even_weights,
    }
    field = next((field for field, is_so in refused.items() if is_so), None)
    if field is not None:
        raise SpecError(f"no integer recipe meets {target}: its {field} is {getattr(limits, field)!r}; lower any other and see violations")
    if limits.leaks is not None and "multiply_shift" not in limits.leaks:
        how.setdefault("leak_rounding", "half_up")
    return Recipe.integer(min(limits.weight_bits or 8, 8), min(limits.state_bits or 8, 16), **how)


def _limits(target: str) -> Target:
    if target not in TARGETS:
        raise SpecError(unknown("target", target, TARGETS))
    return TARGETS[target]


def _weights(program: Program, op: Dense | Conv2d, limits: Target) -> list[Violation]:
    codes, found = program.tensors[f"{op.name}.weight"], []
    most = limits.first_weight_bits if limits.first_weight_bits and op.inputs == (INPUT,) else limits.weight_bits
    if most is not None and op.bits > most:
        found.append(Violation(op.name, "bits", op.bits, most))
    if limits.weight_levels is not None:
        levels = max(len(set(row[row != 0].tolist())) for row in weights(op, program.tensors).reshape(len(codes), -1))
        found += [Violation(op.name, "weight_levels", levels, limits.weight_levels)] if levels > limits.weight_levels else []
    if not limits.planes and op.coding == "planes":
        found.append(Violation(op.name, "coding", op.coding, "integer"))
    if limits.even_weights and codes.min() < 0 < codes.max() and (codes % 2).any():
        odd = int(codes[codes % 2 != 0].flat[0])
        found.append(Violation(op.name, "weight", odd, odd - 1))
    return found


def _neurons(program: Program, op: Lif, limits: Target) -> list[Violation]:
    threshold = program.tensors[f"{op.name}.threshold"]
    found = [
        _within(op.name, "state_bits", op.state_bits, limits.state_bits),
        _within(op.name, "max_spikes", op.max_spikes, limits.max_spikes),
        _equal(op.name, "signed", op.signed, limits.signed),
        _equal(op.name, "compare", op.compare, limits.compare),
        _among(op.name, "reset", op.reset, limits.resets),
        *_held(op.name, "", op, limits),
        Violation(op.name, "levels", op.levels, 0) if op.levels and not limits.codebook else None,
        Violation(op.name, "synapse", "a synaptic current", None) if op.synapse is not None and not limits.current else None,
        Violation(op.name, "refractory", op.refractory, None) if op.refractory is not None and not limits.refractory else None,
    ]
    if limits.one_threshold and len(set(threshold.tolist())) > 1:
        found.append(Violation(op.name, "threshold", threshold.tolist(), round(float(threshold.mean()))))
    if op.synapse is not None:
        found += [_within(op.name, "synapse.bits", op.synapse.bits, limits.state_bits), *_held(op.name, "synapse.", op.synapse, limits)]
    if limits.plain:
        found += [_equal(op.name, field, getattr(op, field), legal) for field, legal in PLAIN.items()]
        found += _railed(program, op, limits)
    return [each for each in found if each is not None]


def _railed(program: Program, op: Lif, limits: Target) -> list[Violation]:
    """Sums that can reach a rail: where every event saturates, and where a state of fewer bits saturates before the chip's."""
    reach, ends, found = midway(program, op), rails(op), list[Violation]()
    within = ends.low <= reach.low and reach.high <= ends.high
    if limits.state_bits is not None and op.state_bits < limits.state_bits and (op.synapse is not None or not within):
        found.append(Violation(op.name, "state_bits", op.state_bits, limits.state_bits))
    if limits.per_event and not within:
        found.append(Violation(op.name, "sums", tuple(reach), tuple(ends)))
    return found


def _held(layer: str, part: str, state: Lif | Synapse, limits: Target) -> list[Violation | None]:
    """What membranes and synaptic currents have in common."""
    leak = state.leak
    return [
        _equal(layer, f"{part}overflow", state.overflow, limits.overflow),
        None if leak.kind == "table" else _among(layer, f"{part}leak", leak.kind, limits.leaks),
        _equal(layer, f"{part}leak.rounding", leak.rounding, limits.leak_rounding) if leak.kind == "multiply_shift" else None,
        _within(layer, f"{part}leak.shift", leak.shift, limits.leak_shift),
        _within(layer, f"{part}leak.amount", leak.amount, limits.leak_amount),
    ]


def _within(layer: str, field: str, value: int, most: int | None) -> Violation | None:
    return Violation(layer, field, value, most) if most is not None and value > most else None


def _equal(layer: str, field: str, value: object, legal: object) -> Violation | None:
    return Violation(layer, field, value, legal) if legal is not None and value != legal else None


def _among(layer: str, field: str, value: str, legal: tuple[str, ...] | None) -> Violation | None:
    if legal is None or value in legal:
        return None
    nearest = NEAREST[field.removeprefix("synapse.")][value]
    return Violation(layer, field, value, next(each for each in nearest if each in legal))
