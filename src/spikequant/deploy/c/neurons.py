"""One neuron step in C, its choices already made."""

import math

from spikequant.deploy.c.text import Field, constant
from spikequant.deploy.operations import Leak, Lif
from spikequant.deploy.program import Program

HELPERS = {
    "shift_right": """/* Floor of x / 2^n: the shift of a negative number is the compiler's choice. */
static inline int32_t shift_right(int32_t x, int n) { return x >= 0 ? x >> n : ~(~x >> n); }
""",
    "clamped": """static inline int32_t clamped(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }
""",
    "nearest": """/* The index of the level nearest to u, the lower of two; step is the distance of neighboring levels in the table. */
#define NEAREST(u, levels, size, index) \\
    do { (index) = 0; while ((index) < (size) - 1 && 2 * (u) > (levels)[(index)] + (levels)[(index) + 1]) (index)++; } while (0)
""",
}


def state_fields(program: Program, op: Lif) -> list[Field]:
    """What a layer of neurons remembers."""
    count = math.prod(program.shapes[op.name])
    found = [Field(f"{op.name}_v", _state_kind(op), count)]
    found += [] if op.synapse is None else [Field(f"{op.name}_current", _signed(op.synapse.bits), count)]
    return found + ([] if op.refractory is None else [Field(f"{op.name}_left", "int8_t", count)])


def neuron_constants(program: Program, op: Lif) -> list[Field]:
    """Thresholds and codebook."""
    parts = ("threshold", "levels", "leaked") if op.levels else ("threshold",)
    return [constant(f"{op.name}_{part}", program.tensors[f"{op.name}.{part}"]) for part in parts]


def rest_code(program: Program, op: Lif) -> str:
    """Statements that put every neuron to rest; memory is zero already."""
    value = op.reset_value if op.reset == "value" else 0
    count = state_fields(program, op)[0].elements
    if not op.levels:
        return "" if not value else f"    for (int32_t n = 0; n < {count}; n++) m->{op.name}_v[n] = {value};\n"
    channels = program.shapes[op.name][0]
    return (
        f"    for (int32_t n = 0; n < {count}; n++) {{\n"
        f"        int32_t i;\n        NEAREST({value}, {_table(op, 'levels', f'n % {channels}')}, {op.levels}, i);\n"
        f"        m->{op.name}_v[n] = ({_state_kind(op)})i;\n    }}\n"
    )


def neuron_function(op: Lif, index: int) -> str:
    """``int32_t NAME_neuron(m, n, c, u)``: the neuron n of channel c takes the current u; what it emits comes back."""
    q, lines = op.shift, [f"const int32_t threshold = k.{op.name}_threshold[c];"]
    if op.levels:
        lines += [f"const {{levels}} *levels = {_table(op, 'levels', 'c')};", f"int32_t i = m->{op.name}_v[n], v = levels[i];"]
    else:
        lines += [f"int32_t v = m->{op.name}_v[n];"]
    lines += _synapse(op)
    lines += [] if op.refractory is None else [f"int32_t left = m->{op.name}_left[n];", "if (left) u = 0;"]
    lines += _late(op)
    lines += [f"u += {_table(op, 'leaked', 'c')}[i];"] if op.levels else [f"v *= {1 << q};" if q else "", *_leak(op.leak, "v"), "u += v;"]
    if op.timing == "next" and op.reset == "subtract":
        lines += [f"u -= late * threshold * {1 << q};"]
    if op.snapped == "after_reset":
        lines += [*_fires(op, "z", "u", f"threshold * {1 << q}"), *_reset(op, "u", q), *_store(op, _shifted("u", q, op.rounding))]
    else:
        lines += _store(op, _shifted("u", q, op.rounding)) if not op.levels else ["NEAREST(u, levels, {size}, i);", "v = levels[i];"]
        full = op.compare_at == "full"
        lines += [*_fires(op, "z", "u" if full else "v", f"threshold * {1 << q}" if full else "threshold"), *_reset(op, "v", 0)]
        if op.levels and op.timing == "now" and op.reset != "none":
            lines += ["NEAREST(v, levels, {size}, i);", "v = levels[i];"]
    held = "i" if op.levels else "v"
    lines += [f"m->{op.name}_v[n] = ({_state_kind(op)}){held};", f"HASH({index}, {held});"]
    lines += [f"HASH({index}, current);"] if op.synapse is not None else []
    if op.refractory is not None:
        lines += [f"left = z ? {op.refractory} : left - (left > 0);", f"m->{op.name}_left[n] = (int8_t)left;", f"HASH({index}, left);"]
    lines += ["(void)v;"] if op.levels else []
    lines += ["(void)z;"] if op.emits == "membrane" else []
    lines += [f"HASH({index}, {'z' if op.emits == 'spikes' else 'v'});", f"return {'z' if op.emits == 'spikes' else 'v'};"]
    body = "\n".join(f"    {line}" for line in lines if line).replace("{size}", str(op.levels))
    return f"static inline int32_t {op.name}_neuron(MEMORY *m, int32_t n, int32_t c, int32_t u) {{\n{body}\n}}\n"


def _state_kind(op: Lif) -> str:
    if op.levels:
        return "uint8_t"
    return _signed(op.state_bits) if op.signed else _signed(op.state_bits + 1)


def _signed(bits: int) -> str:
    return f"int{8 if bits <= 8 else 16 if bits <= 16 else 32}_t"


def _table(op: Lif, part: str, channel: str) -> str:
    return f"(k.{op.name}_{part} + ({channel}) * {op.levels})" if op.tables == "channel" else f"k.{op.name}_{part}"


def _synapse(op: Lif) -> list[str]:
    if op.synapse is None:
        return []
    half = 1 << (op.synapse.bits - 1)
    held = [f"int32_t current = m->{op.name}_current[n];", *_leak(op.synapse.leak, "current")]
    held += [f"current = {_fitted('current + u', -half, half - 1, op.synapse.overflow)};"]
    return [*held, f"m->{op.name}_current[n] = ({_signed(op.synapse.bits)})current;", "u = current;"]


def _late(op: Lif) -> list[str]:
    if op.timing != "next":
        return []
    lines = _fires(op, "late", "v", "threshold")
    if op.reset == "value":
        lines += [f"if (late) v = {op.reset_value};"]
        lines += ["NEAREST(v, levels, {size}, i);"] if op.levels else []
    return lines if op.reset != "none" else []


def _leak(how: Leak, v: str) -> list[str]:
    if how.kind == "shift":
        return [f"{v} -= shift_right({v}, {how.shift});"]
    if how.kind == "shift_min1":
        taken = f"{v}_leak"
        return [f"const int32_t {taken} = shift_right({v}, {how.shift});", f"{v} -= {taken} ? {taken} : {v} > 0;"]
    if how.kind == "constant":
        low, high = f"{v} < -{how.amount} ? {v} + {how.amount} : 0", f"{v} - {how.amount}"
        return [f"{v} = {v} > {how.amount} ? {high} : {low};"]
    if how.kind != "multiply_shift":
        return []
    product = f"{v} * {how.multiplier}"
    return [f"{v} = {product} / {1 << how.shift};" if how.rounding == "trunc" else f"{v} = {_shifted(product, how.shift, how.rounding)};"]


def _shifted(x: str, shift: int, rounding: str) -> str:
    if not shift:
        return x
    half = 1 << (shift - 1)
    if rounding == "half_even":
        return f"shift_right({x} + {half - 1} + (shift_right({x}, {shift}) & 1), {shift})"
    return f"shift_right({x}{f' + {half}' if rounding == 'half_up' else ''}, {shift})"


def _fires(op: Lif, name: str, value: str, threshold: str) -> list[str]:
    if op.max_spikes == 1:
        return [f"const int32_t {name} = {value} {op.compare} {threshold};"]
    return [f"int32_t {name} = 0;", f"while ({name} < {op.max_spikes} && {value} {op.compare} ({name} + 1) * {threshold}) {name}++;"]


def _reset(op: Lif, value: str, q: int) -> list[str]:
    if op.timing == "next" or op.reset == "none":
        return []
    scale = f" * {1 << q}" if q else ""
    return [f"{value} -= z * threshold{scale};" if op.reset == "subtract" else f"if (z) {value} = {op.reset_value * (1 << q)};"]


def _store(op: Lif, value: str) -> list[str]:
    if op.levels:
        return [f"NEAREST({value}, levels, {op.levels}, i);", "v = levels[i];"]
    return [f"v = {_fitted(value, op.low, op.high, op.overflow)};"]


def _fitted(value: str, low: int, high: int, overflow: str) -> str:
    if overflow == "saturate":
        return f"clamped({value}, {low}, {high})"
    return f"(int32_t)(((uint32_t)({value}) - (uint32_t)({low})) & {high - low}u) + ({low})"
