"""The two files of a model: its header and its source."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from spikequant.deploy.c.layout import Buffer, Layout, Stage, height_width, plan
from spikequant.deploy.c.neurons import HELPERS, neuron_constants, neuron_function, rest_code, state_fields
from spikequant.deploy.c.synapses import POPCOUNT, Geometry, in_planes, packing_code, row_function, synapse_constants
from spikequant.deploy.c.text import Field, constant, initializers, members, ordered, struct_bytes
from spikequant.deploy.operations import Concat, Conv2d, Dense, Lif, OrPool, SumPool
from spikequant.deploy.program import INPUT, Program

CHECK = """#ifdef SPIKEQUANT_CHECK
#define HASH(i, x) (m->hash[i] = m->hash[i] * 16777619u + (uint32_t)(x))
#else
#define HASH(i, x) ((void)0)
#endif
"""
SEED = 0x811C9DC5


class Sources(NamedTuple):
    """Header and source of a model, and what they take: constants and memory in bytes; ``planes`` names the layers in bit planes."""

    header: str
    source: str
    constants: list[Field]
    memory: list[Field]
    planes: tuple[str, ...]

    @property
    def constant_bytes(self) -> int:
        """All of the section ``.rodata``."""
        return struct_bytes(self.constants)

    @property
    def memory_bytes(self) -> int:
        """``sizeof`` of the memory."""
        return struct_bytes(self.memory)


def sources(program: Program, activity: Mapping[str, float], prefix: str = "net") -> Sources:
    """The C of a program; ``activity`` is the share of active inputs of every layer of synapses."""
    layout = plan(program)
    planes = tuple(op.name for op in _synapses(program) if in_planes(program, op, activity.get(op.name, 0.0)))
    constants, memory = _constants(program, planes), _memory(program, layout, planes)
    source = _source(program, layout, planes, constants)
    parts = (HELPERS | {"ones": POPCOUNT}).items()
    used = "\n".join(text for name, text in parts if f"{name}(" in source or (name == "nearest" and "NEAREST(" in source))
    values = f"static const struct {{\n{members(constants)}}} k = {{\n{initializers(constants)}}};\n"
    head = f'/* {_title(program)} */\n\n#include <string.h>\n\n#include "model.h"\n'
    body = "\n".join([head, values, CHECK, used, source]).replace("MEMORY", f"{prefix}_memory").replace("PREFIX", prefix)
    return Sources(_header(program, memory).replace("PREFIX", prefix), body, constants, memory, planes)


def _title(program: Program) -> str:
    return f"The integer program {''.join(c for c in program.header.name if c.isalnum() or c in '-_')}, SHA-256 {program.hash}."


def _synapses(program: Program) -> list[Dense | Conv2d]:
    return [op for op in program.header.operations if isinstance(op, Dense | Conv2d)]


def _neurons(program: Program) -> list[Lif]:
    return [op for op in program.header.operations if isinstance(op, Lif)]


def _constants(program: Program, planes: tuple[str, ...]) -> list[Field]:
    found = [constant("input_table", program.tensors["input.table"], "int8_t")] if program.header.source.table else []
    for op in program.header.operations:
        if isinstance(op, Dense | Conv2d):
            found += synapse_constants(program, op, op.name in planes)
        elif isinstance(op, Lif):
            found += neuron_constants(program, op)
    return ordered(found or [Field("none", "int8_t", 1)])


def _accumulator(program: Program, op: Dense | Conv2d) -> str:
    return f"int{max(program.proofs[op.name].accumulator_bits, 16)}_t"


def _memory(program: Program, layout: Layout, planes: tuple[str, ...]) -> list[Field]:
    rows: dict[str, int] = {}
    for op in _synapses(program):
        kind = _accumulator(program, op)
        rows[kind] = max(rows.get(kind, 0), Geometry(program, op).row)
    words = [g.height * g.width * g.words for g in (Geometry(program, op) for op in _synapses(program) if op.name in planes)]
    found = [Field("scores", "int32_t", program.classes), Field("step", "int32_t", 1), *layout.arenas]
    found += [Field(f"row_{kind.removesuffix('_t')}", kind, count) for kind, count in sorted(rows.items())]
    found += [Field("bits", "uint32_t", max(words))] if words else []
    found += [field for op in _neurons(program) for field in state_fields(program, op)]
    return ordered(found)


def _header(program: Program, memory: list[Field]) -> str:
    still, kind = program.header.source.still, _image(program)
    elements = math.prod(program.header.source.shape)
    run = f"{elements} numbers" if still else f"{program.header.time} steps of {elements} numbers"
    return f"""/* {_title(program)} */

#ifndef PREFIX_MODEL_H
#define PREFIX_MODEL_H

#include <stdint.h>

#define PREFIX_TIME {program.header.time}
#define PREFIX_CLASSES {program.classes}
#define PREFIX_IMAGE {elements}
#define PREFIX_PROGRAM "{program.hash}"

/* All that the model writes to. */
typedef struct {{
{members(memory)}#ifdef SPIKEQUANT_CHECK
    uint32_t hash[{max(len(_neurons(program)), 1)}];
#endif
}} PREFIX_memory;

/* Every neuron at rest, no score. */
void PREFIX_reset(PREFIX_memory *m);

/* Show one image, [channel, height, width]: it stays until the next. */
void PREFIX_show(PREFIX_memory *m, const {kind} *image);

/* One time step; adds to m->scores. */
void PREFIX_step(PREFIX_memory *m);

/* The class of m->scores: of equal ones the first. */
int32_t PREFIX_class(const PREFIX_memory *m);

/* Reset, all steps, class: of {run}. */
int32_t PREFIX_run(PREFIX_memory *m, const {kind} *image);

#ifdef SPIKEQUANT_CHECK
/* The hash of every state and spike since the reset. */
uint32_t PREFIX_hash(const PREFIX_memory *m);
#endif

#endif
"""


def _image(program: Program) -> str:
    return "uint8_t" if program.header.source.table else "int8_t"


def _source(program: Program, layout: Layout, planes: tuple[str, ...], constants: list[Field]) -> str:
    kinds = {field.name: field.kind for field in constants}
    functions = []
    for stage in layout.stages:
        op, lif = stage.op, stage.lif or (stage.op if isinstance(stage.op, Lif) else None)
        if isinstance(op, Dense | Conv2d):
            text = row_function(program, op, (layout.buffers[op.inputs[0]].kind, _accumulator(program, op)), op.name in planes)
            functions.append(text.replace("{basis}", kinds.get(f"{op.name}_basis", "")))
        if lif is not None:
            text = neuron_function(lif, _neurons(program).index(lif))
            functions.append(text.replace("{levels}", kinds.get(f"{lif.name}_levels", "")))
    stages = "".join(_stage(program, layout, stage, stage.op.name in planes) for stage in layout.stages)
    step = f"void PREFIX_step(MEMORY *m) {{\n{stages}{_read_out(program, layout)}}}\n"
    return "\n".join([*functions, _reset(program), _show(program, layout), step, _ends(program)])


def _reset(program: Program) -> str:
    rest = "".join(rest_code(program, op) for op in _neurons(program))
    late = f"    for (int32_t o = 0; o < {program.classes}; o++) m->scores[o] = {program.header.time};\n"
    seeds = f"#ifdef SPIKEQUANT_CHECK\n    for (int32_t i = 0; i < {len(_neurons(program))}; i++) m->hash[i] = {SEED:#x}u;\n#endif\n"
    body = rest + (late if program.header.readout == "first_spike" else "") + (seeds if _neurons(program) else "")
    return f"void PREFIX_reset(MEMORY *m) {{\n    memset(m, 0, sizeof *m);\n{body}}}\n"


def _show(program: Program, layout: Layout) -> str:
    channels, height, width = height_width(program.header.source.shape)
    value = f"image[c * {height * width} + p]"
    code = f"k.input_table[c * 256 + {value}]" if program.header.source.table else value
    buffer = layout.buffers[INPUT]
    return f"""void PREFIX_show(MEMORY *m, const {_image(program)} *image) {{
    {buffer.kind} *out = {buffer.place};
    {_loops(height * width, channels)} out[p * {channels} + c] = {code};
}}
"""


def _read_out(program: Program, layout: Layout) -> str:
    last = program.header.operations[-1].name
    channels, height, width = height_width(program.shapes[last])
    score, value = f"m->scores[c * {height * width} + p]", f"last[p * {channels} + c]"
    rule = {
        "sum": f"{score} += {value};",
        "last": f"{score} = {value};",
        "first_spike": f"if ({score} == {program.header.time} && {value} > 0) {score} = m->step[0];",
    }[program.header.readout]
    buffer = layout.buffers[last]
    return f"    const {buffer.kind} *last = {buffer.place};\n    {_loops(height * width, channels)} {rule}\n    m->step[0]++;\n"


def _ends(program: Program) -> str:
    better = "<" if program.header.readout == "first_spike" else ">"
    still = program.header.source.still
    shown = "    PREFIX_show(m, image);\n" if still else ""
    each = "PREFIX_step(m);" if still else "{ PREFIX_show(m, image + t * PREFIX_IMAGE); PREFIX_step(m); }"
    mixed = f"    for (int32_t i = 0; i < {len(_neurons(program))}; i++) h = h * 16777619u + m->hash[i];\n"
    hashes = mixed if _neurons(program) else "    (void)m;\n"
    return f"""int32_t PREFIX_class(const MEMORY *m) {{
    int32_t best = 0;
    for (int32_t o = 1; o < PREFIX_CLASSES; o++) if (m->scores[o] {better} m->scores[best]) best = o;
    return best;
}}

int32_t PREFIX_run(MEMORY *m, const {_image(program)} *image) {{
    PREFIX_reset(m);
{shown}    for (int32_t t = 0; t < PREFIX_TIME; t++) {each}
    return PREFIX_class(m);
}}

#ifdef SPIKEQUANT_CHECK
uint32_t PREFIX_hash(const MEMORY *m) {{
    uint32_t h = 0;
{hashes}    return h;
}}
#endif
"""


def _stage(program: Program, layout: Layout, stage: Stage, planes: bool) -> str:
    op = stage.op
    inputs, out = [layout.buffers[name] for name in op.inputs], layout.buffers[stage.name]
    declared = "".join(f"        const {each.kind} *x{index} = {each.place};\n" for index, each in enumerate(inputs))
    if isinstance(op, Dense | Conv2d):
        body = _rows(program, stage, op, planes, out.kind)
    elif isinstance(op, Lif):
        body = _neurons_alone(program, op, out)
    else:
        body = PLAIN[op.kind](program, op, out)
    names = ", ".join(each.name for each in (stage.op, stage.lif) if each is not None)
    return f"    {{ /* {names} */\n{declared}        {out.kind} *out = {out.place};\n{body}    }}\n"


def _rows(program: Program, stage: Stage, op: Dense | Conv2d, planes: bool, kind: str) -> str:
    g, acc = Geometry(program, op), _accumulator(program, op)
    sum_ = f"acc[s * {g.out} + c]" + (f" * {1 << op.shift}" if op.shift else "") + (f" + k.{op.name}_bias[c]" if op.bias else "")
    at = f"(y * {g.out_width} + s) * {g.out} + c"
    value = sum_ if stage.lif is None else f"{stage.lif.name}_step(m, {at}, c, {sum_})"
    packed = packing_code(program, op, "x0") if planes else ""
    return f"""        {acc} *acc = m->row_{acc.removesuffix("_t")};
{packed}        for (int32_t y = 0; y < {g.out_height}; y++) {{
            {op.name}_row({"m->bits" if planes else "x0"}, y, acc);
            for (int32_t s = 0; s < {g.out_width}; s++) for (int32_t c = 0; c < {g.out}; c++) out[{at}] = ({kind})({value});
        }}
"""


def _neurons_alone(program: Program, op: Lif, out: Buffer) -> str:
    channels, height, width = height_width(program.shapes[op.name])
    at = f"p * {channels} + c"
    body = f"out[{at}] = ({out.kind}){op.name}_step(m, {at}, c, x0[{at}]);"
    return f"        {_loops(height * width, channels)} {body}\n"


def _loops(pixels: int, channels: int) -> str:
    return f"for (int32_t p = 0; p < {pixels}; p++) for (int32_t c = 0; c < {channels}; c++)"


def _pool(program: Program, op: SumPool | OrPool, out: Buffer) -> str:
    channels, _, width = height_width(program.shapes[op.inputs[0]])
    _, out_height, out_width = height_width(program.shapes[op.name])
    take = "sum += v;" if isinstance(op, SumPool) else "if ((!i && !j) || v > sum) sum = v;"
    return f"""        for (int32_t y = 0; y < {out_height}; y++) for (int32_t s = 0; s < {out_width}; s++)
        for (int32_t c = 0; c < {channels}; c++) {{
            int32_t sum = 0;
            for (int32_t i = 0; i < {op.size[0]}; i++) for (int32_t j = 0; j < {op.size[1]}; j++) {{
                const int32_t v = x0[((y * {op.stride[0]} + i) * {width} + s * {op.stride[1]} + j) * {channels} + c];
                {take}
            }}
            out[(y * {out_width} + s) * {channels} + c] = ({out.kind})sum;
        }}
"""


def _add(program: Program, op: Any, out: Buffer) -> str:
    total = " + ".join(f"x{index}[n]" for index in range(len(op.inputs)))
    return f"        for (int32_t n = 0; n < {out.elements}; n++) out[n] = ({out.kind})({total});\n"


def _concat(program: Program, op: Concat, out: Buffer) -> str:
    channels, height, width = height_width(program.shapes[op.name])
    text, before = "", 0
    for index, source in enumerate(op.inputs):
        each = program.shapes[source][0]
        body = f"out[p * {channels} + {before} + c] = ({out.kind})x{index}[p * {each} + c];"
        text += f"        {_loops(height * width, each)} {body}\n"
        before += each
    return text


def _flatten(program: Program, op: Any, out: Buffer) -> str:
    channels, height, width = height_width(program.shapes[op.inputs[0]])
    return f"        {_loops(height * width, channels)} out[c * {height * width} + p] = x0[p * {channels} + c];\n"


PLAIN: dict[str, Callable[[Program, Any, Buffer], str]] = {
    "sum_pool": _pool,
    "or_pool": _pool,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
}
