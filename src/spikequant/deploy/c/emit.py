"""The two files of a model: its header and its source."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from spikequant.deploy.c.layout import Form, Layout, height_width, plan
from spikequant.deploy.c.neurons import HELPERS, neuron_constants, neuron_function, rest_code, state_fields
from spikequant.deploy.c.plain import loops
from spikequant.deploy.c.stages import accumulator, kept, stage_code, sum_fields, sums_code, sums_function
from spikequant.deploy.c.synapses import POPCOUNT, Geometry, in_planes, scattered_constants, synapse_constants
from spikequant.deploy.c.text import Field, constant, initializers, members, ordered, struct_bytes
from spikequant.deploy.lateral import Winner
from spikequant.deploy.operations import Conv2d, Dense, Lif
from spikequant.deploy.program import INPUT, Program, refuse_wide_scores

CHECK = """#ifdef SPIKEQUANT_CHECK
#define HASH(i, x) (m->hash[i] = m->hash[i] * 16777619u + (uint32_t)(x))
#else
#define HASH(i, x) ((void)0)
#endif
"""
HEADER = """/* {title} */

#ifndef PREFIX_MODEL_H
#define PREFIX_MODEL_H

#include <stdint.h>

#define PREFIX_TIME {time}
#define PREFIX_CLASSES {classes}
#define PREFIX_IMAGE {elements}
#define PREFIX_PROGRAM "{hash}"

/* All that the model writes to. */
typedef struct {{
{members}#ifdef SPIKEQUANT_CHECK
    uint32_t hash[{layers}];
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
SEED = 0x811C9DC5
SMALL = Form()


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


def sources(program: Program, activity: Mapping[str, float], prefix: str = "net", form: Form = SMALL) -> Sources:
    """The C of a program; ``activity`` is the share of active inputs of every layer of synapses.

    Raises:
        SpecError: scores can leave 32 bits.
    """
    refuse_wide_scores(program)
    layout = plan(program)
    planes = tuple(op.name for op in _synapses(program) if _counted(program, op, activity.get(op.name, 0.0), form))
    constants, memory = _constants(program, planes, form), _memory(program, layout, planes, form)
    source = _source(program, layout, (planes, form), constants)
    parts = (HELPERS | {"ones": POPCOUNT}).items()
    used = "\n".join(text for name, text in parts if f"{name}(" in source or (name == "nearest" and "NEAREST(" in source))
    values = f"static const struct {{\n{members(constants)}}} k = {{\n{initializers(constants)}}};\n"
    values += "\nstatic int32_t *PREFIX_seen;\n" if form.traced else ""
    head = f'/* {_title(program)} */\n\n#include <string.h>\n\n#include "model.h"\n'
    body = "\n".join([head, values, CHECK, used, source]).replace("MEMORY", f"{prefix}_memory").replace("PREFIX", prefix)
    return Sources(_header(program, memory).replace("PREFIX", prefix), body, constants, memory, planes)


def _counted(program: Program, op: Dense | Conv2d, activity: float, form: Form) -> bool:
    """Whether a layer counts bits."""
    return not form.scattered and not kept(program, op, form) and in_planes(program, op, activity)


def _title(program: Program) -> str:
    return f"The integer program {''.join(c for c in program.header.name if c.isalnum() or c in '-_')}, SHA-256 {program.hash}."


def _synapses(program: Program) -> list[Dense | Conv2d]:
    return [op for op in program.header.operations if isinstance(op, Dense | Conv2d)]


def _neurons(program: Program) -> list[Lif]:
    return [op for op in program.header.operations if isinstance(op, Lif)]


def _constants(program: Program, planes: tuple[str, ...], form: Form) -> list[Field]:
    found = [constant("input_table", program.tensors["input.table"], "int8_t")] if program.header.source.table else []
    for op in program.header.operations:
        if isinstance(op, Dense | Conv2d):
            scattered = form.scattered and scattered_constants(program, op, accumulator(program, op))
            found += scattered or synapse_constants(program, op, op.name in planes)
        elif isinstance(op, Lif):
            found += neuron_constants(program, op)
        elif isinstance(op, Winner):
            found.append(constant(f"{op.name}_draws", program.tensors[f"{op.name}.draws"]))
    return ordered(found or [Field("none", "int8_t", 1)])


def _memory(program: Program, layout: Layout, planes: tuple[str, ...], form: Form) -> list[Field]:
    words = [g.height * g.width * g.words for g in (Geometry(program, op) for op in _synapses(program) if op.name in planes)]
    found = [Field("scores", "int32_t", program.classes), Field("step", "int32_t", 1), *layout.arenas]
    found += sum_fields(program, _synapses(program), form)
    found += [Field("bits", "uint32_t", max(words))] if words else []
    found += [field for op in _neurons(program) for field in state_fields(program, op)]
    return ordered(found)


def _header(program: Program, memory: list[Field]) -> str:
    elements, time = math.prod(program.header.source.shape), program.header.time
    return HEADER.format(
        title=_title(program),
        time=time,
        classes=program.classes,
        elements=elements,
        hash=program.hash,
        members=members(memory),
        layers=max(len(_neurons(program)), 1),
        kind=_image(program),
        run=f"{elements} numbers" if program.header.source.still else f"{time} steps of {elements} numbers",
    )


def _image(program: Program) -> str:
    return "uint8_t" if program.header.source.table else "int8_t"


def _source(program: Program, layout: Layout, chosen: tuple[tuple[str, ...], Form], constants: list[Field]) -> str:
    planes, form = chosen
    kinds = {field.name: field.kind for field in constants}
    functions = []
    for stage in layout.stages:
        op, lif = stage.op, stage.lif or (stage.op if isinstance(stage.op, Lif) else None)
        if isinstance(op, Dense | Conv2d):
            text = sums_function(program, op, layout.buffers[op.inputs[0]].kind, op.name in planes, form)
            functions.append(text.replace("{basis}", kinds.get(f"{op.name}_basis", "")))
        if lif is not None:
            text = neuron_function(lif, _neurons(program).index(lif))
            functions.append(text.replace("{levels}", kinds.get(f"{lif.name}_levels", "")))
    stages = "".join(stage_code(program, layout, stage, stage.op.name in planes, form) for stage in layout.stages)
    step = f"void PREFIX_step(MEMORY *m) {{\n{stages}{_read_out(program, layout)}}}\n"
    return "\n".join([*functions, _reset(program), _show(program, layout, form), step, _ends(program)])


def _reset(program: Program) -> str:
    rest = "".join(rest_code(program, op) for op in _neurons(program))
    late = f"    for (int32_t o = 0; o < {program.classes}; o++) m->scores[o] = {program.header.time};\n"
    seeds = f"#ifdef SPIKEQUANT_CHECK\n    for (int32_t i = 0; i < {len(_neurons(program))}; i++) m->hash[i] = {SEED:#x}u;\n#endif\n"
    body = rest + (late if program.header.readout == "first_spike" else "") + (seeds if _neurons(program) else "")
    return f"void PREFIX_reset(MEMORY *m) {{\n    memset(m, 0, sizeof *m);\n{body}}}\n"


def _show(program: Program, layout: Layout, form: Form) -> str:
    channels, height, width = height_width(program.header.source.shape)
    value = f"image[c * {height * width} + p]"
    code = f"k.input_table[c * 256 + {value}]" if program.header.source.table else value
    buffer = layout.buffers[INPUT]
    sums = "".join(f"    {sums_code(program, op, 'out', form)}\n" for op in _synapses(program) if kept(program, op, form))
    return f"""void PREFIX_show(MEMORY *m, const {_image(program)} *image) {{
    {buffer.kind} *out = {buffer.place};
    {loops(height * width, channels)} out[p * {channels} + c] = {code};
{sums}}}
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
    return f"    const {buffer.kind} *last = {buffer.place};\n    {loops(height * width, channels)} {rule}\n    m->step[0]++;\n"


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
