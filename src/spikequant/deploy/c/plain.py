"""Operations without synapses in C: pools, sums, concatenations, the order of flattened values, and what neurons do to each other."""

from collections.abc import Callable
from typing import Any

from spikequant.deploy.c.layout import Buffer, height_width
from spikequant.deploy.lateral import DRAW_BITS, Delay, Inhibit, Winner
from spikequant.deploy.operations import Concat, OrPool, SumPool
from spikequant.deploy.program import Program


def loops(pixels: int, channels: int) -> str:
    """The loops over pixels p and channels c."""
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
        text += f"        {loops(height * width, each)} {body}\n"
        before += each
    return text


def _flatten(program: Program, op: Any, out: Buffer) -> str:
    channels, height, width = height_width(program.shapes[op.inputs[0]])
    return f"        {loops(height * width, channels)} out[c * {height * width} + p] = x0[p * {channels} + c];\n"


def _delay(program: Program, op: Delay, out: Buffer) -> str:
    return f"        for (int32_t n = 0; n < {out.elements}; n++) out[n] = ({out.kind})x0[n];\n"


def _inhibit(program: Program, op: Inhibit, out: Buffer) -> str:
    return f"""        int32_t all = 0;
        for (int32_t n = 0; n < {out.elements}; n++) all += x0[n];
        for (int32_t n = 0; n < {out.elements}; n++) out[n] = ({out.kind})(-{op.strength} * (all - x0[n]));
"""


def _winner(program: Program, op: Winner, out: Buffer) -> str:
    return f"""        int32_t fired = 0;
        for (int32_t n = 0; n < {out.elements}; n++) fired += x0[n] > 0;
        memset(out, 0, {out.elements} * sizeof *out);
        if (fired) {{
            int32_t chosen = k.{op.name}_draws[m->step[0] % {op.draws}] * fired >> {DRAW_BITS};
            for (int32_t n = 0; n < {out.elements}; n++) if (x0[n] > 0 && chosen-- == 0) out[n] = ({out.kind})x0[n];
        }}
"""


PLAIN: dict[str, Callable[[Program, Any, Buffer], str]] = {
    "sum_pool": _pool,
    "or_pool": _pool,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
    "delay": _delay,
    "inhibit": _inhibit,
    "winner": _winner,
}
