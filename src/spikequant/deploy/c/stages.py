"""The statements of one time step: sums with the neurons that take them, neurons alone, and operations without synapses."""

from spikequant.deploy.c.layout import Buffer, Form, Layout, Stage, height_width
from spikequant.deploy.c.plain import PLAIN, loops
from spikequant.deploy.c.synapses import Geometry, Synapses, packing_code, row_function, scattering_function
from spikequant.deploy.c.text import Field
from spikequant.deploy.operations import Conv2d, Dense, Lif, emitting
from spikequant.deploy.program import INPUT, Program


def accumulator(program: Program, op: Synapses) -> str:
    """The type of a layer's sums."""
    return f"int{max(program.proofs[op.name].accumulator_bits, 16)}_t"


def kept(program: Program, op: Synapses, form: Form) -> bool:
    """Whether a layer's sums are computed when the image is shown, and stay."""
    return form.once and program.header.source.still and op.inputs == (INPUT,)


def sum_fields(program: Program, layers: list[Synapses], form: Form) -> list[Field]:
    """Memory for sums: those that are kept, and one row or one plane for all others of a type."""
    found, shared = [], dict[str, int]()
    for op in layers:
        g, kind = Geometry(program, op), accumulator(program, op)
        plane = g.row_of_plane(form.scattered) * g.out_height
        if kept(program, op, form):
            found.append(Field(f"{op.name}_sums", kind, plane))
        else:
            shared[kind] = max(shared.get(kind, 0), plane if form.scattered else g.row)
    return found + [Field(f"row_{kind.removesuffix('_t')}", kind, count) for kind, count in sorted(shared.items())]


def sums_function(program: Program, op: Synapses, taken: str, planes: bool, form: Form) -> str:
    """The functions that compute a layer's sums of values of type ``taken``."""
    kinds = (taken, accumulator(program, op))
    return scattering_function(program, op, kinds) if form.scattered else row_function(program, op, kinds, planes)


def sums_code(program: Program, op: Synapses, source: str, form: Form) -> str:
    """A statement that computes all sums of a layer, into the memory where they are kept or shared."""
    place = f"m->{op.name}_sums" if kept(program, op, form) else _shared(program, op)
    if form.scattered:
        return f"{op.name}_scatter({source}, {place});"
    g = Geometry(program, op)
    return f"for (int32_t y = 0; y < {g.out_height}; y++) {op.name}_row({source}, y, {place} + y * {g.row});"


def stage_code(program: Program, layout: Layout, stage: Stage, planes: bool, form: Form) -> str:
    """One stage, in braces."""
    op = stage.op
    inputs, out = [layout.buffers[name] for name in op.inputs], layout.buffers[stage.name]
    if isinstance(op, Dense | Conv2d):
        whole = form.scattered or kept(program, op, form)
        body = _plane(program, stage, op, out.kind, form) if whole else _rows(program, stage, op, planes, out.kind)
        inputs = [] if kept(program, op, form) else inputs
    elif isinstance(op, Lif):
        body = _neurons_alone(program, op, out)
    else:
        body = PLAIN[op.kind](program, op, out)
    declared = "".join(f"        const {each.kind} *x{index} = {each.place};\n" for index, each in enumerate(inputs))
    names = ", ".join(each.name for each in (stage.op, stage.lif) if each is not None)
    shown = form.traced and stage.name in emitting(program.header.operations)
    seen = f"        for (int32_t n = 0; n < {out.elements}; n++) *PREFIX_seen++ = out[n];\n" if shown else ""
    return f"    {{ /* {names} */\n{declared}        {out.kind} *out = {out.place};\n{body}{seen}    }}\n"


def _shared(program: Program, op: Synapses) -> str:
    return f"m->row_{accumulator(program, op).removesuffix('_t')}"


def _rows(program: Program, stage: Stage, op: Synapses, planes: bool, kind: str) -> str:
    g = Geometry(program, op)
    packed = packing_code(program, op, "x0") if planes else ""
    return f"""        {accumulator(program, op)} *acc = {_shared(program, op)};
{packed}        for (int32_t y = 0; y < {g.out_height}; y++) {{
            {op.name}_row({"m->bits" if planes else "x0"}, y, acc);
            {_taken(g, stage, kind)}
        }}
"""


def _plane(program: Program, stage: Stage, op: Synapses, kind: str, form: Form) -> str:
    g, stays = Geometry(program, op), kept(program, op, form)
    place = f"m->{op.name}_sums" if stays else _shared(program, op)
    sums = "" if stays else f"        {sums_code(program, op, 'x0', form)}\n"
    margin = g.margin * g.out if form.scattered else 0
    return f"""{sums}        for (int32_t y = 0; y < {g.out_height}; y++) {{
            const {accumulator(program, op)} *acc = {place} + y * {g.row_of_plane(form.scattered)} + {margin};
            {_taken(g, stage, kind)}
        }}
"""


def _taken(g: Geometry, stage: Stage, kind: str) -> str:
    """The loop by which a row of sums becomes a row of values."""
    op = g.op
    sum_ = f"acc[s * {g.out} + c]" + (f" * {1 << op.shift}" if op.shift else "") + (f" + k.{op.name}_bias[c]" if op.bias else "")
    at = f"(y * {g.out_width} + s) * {g.out} + c"
    value = sum_ if stage.lif is None else f"{stage.lif.name}_neuron(m, {at}, c, {sum_})"
    return f"for (int32_t s = 0; s < {g.out_width}; s++) for (int32_t c = 0; c < {g.out}; c++) out[{at}] = ({kind})({value});"


def _neurons_alone(program: Program, op: Lif, out: Buffer) -> str:
    channels, height, width = height_width(program.shapes[op.name])
    at = f"p * {channels} + c"
    body = f"out[{at}] = ({out.kind}){op.name}_neuron(m, {at}, c, x0[{at}]);"
    return f"        {loops(height * width, channels)} {body}\n"
