"""Synapses in C: rows of output, scattered from active inputs, or counted in bit planes."""

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.bounds import weights
from spikequant.deploy.c.layout import height_width
from spikequant.deploy.c.text import Field, constant
from spikequant.deploy.operations import Conv2d, Dense
from spikequant.deploy.packing import pack
from spikequant.deploy.program import Program

Integers = NDArray[np.int64]
Synapses = Dense | Conv2d
PLANES_ABOVE = 0.08
POPCOUNT = """static inline int32_t ones(uint32_t x) {
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    return (int32_t)(((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
}
"""


class Geometry:
    """A layer of synapses as a convolution; a dense one is that of one pixel."""

    def __init__(self, program: Program, op: Synapses) -> None:
        self.op = op
        self.channels, self.height, self.width = height_width(program.shapes[op.inputs[0]])
        self.out, self.out_height, self.out_width = height_width(program.shapes[op.name])
        conv = op if isinstance(op, Conv2d) else None
        self.kernel = conv.kernel if conv else (1, 1)
        self.stride = conv.stride if conv else (1, 1)
        self.padding = conv.padding if conv else (0, 0)
        self.dilation = conv.dilation if conv else (1, 1)
        self.groups = conv.groups if conv else 1
        self.codes = program.tensors[f"{op.name}.weight"].reshape(self.out, self.channels // self.groups, *self.kernel)

    @property
    def row(self) -> int:
        """Elements of one row of output."""
        return self.out * self.out_width

    @property
    def contiguous(self) -> bool:
        """Whether what one input reaches in a row lies side by side."""
        return self.stride[1] == self.dilation[1] == self.groups == 1

    @property
    def margin(self) -> int:
        """Pixels beside a row of scattered sums, which an input at the border reaches in vain."""
        return max(self.kernel[1] - 1 - self.padding[1], 0) if self.contiguous else 0

    def row_of_plane(self, scattered: bool) -> int:
        """Elements from one row of a plane of sums to the next."""
        return self.row + (2 * self.margin * self.out if scattered else 0)

    @property
    def words(self) -> int:
        """Words that hold the spikes of one pixel."""
        return -(-self.channels // 32)


def in_planes(program: Program, op: Synapses, activity: float) -> bool:
    """Whether to count bits rather than scatter events: LQ-Net weights, spikes, and more than a few of them.

    Planes take the same time whatever fires; on emulated Cortex-M they win above 6 to 9 % of active inputs (``results/integers``).
    """
    g, binary = Geometry(program, op), program.reach(op.inputs[0]) == (0, 1)
    return op.coding == "planes" and binary and g.groups == 1 and activity > PLANES_ABOVE * 32 * g.words / g.channels


def synapse_constants(program: Program, op: Synapses, planes: bool) -> list[Field]:
    """Weights as they are packed, basis and bias."""
    g, found = Geometry(program, op), []
    if planes:
        found.append(constant(f"{op.name}_planes", _planes(g), "uint32_t"))
    else:
        found.append(constant(f"{op.name}_weight", _packed(g), "uint8_t"))
    if op.coding == "planes":
        found.append(constant(f"{op.name}_basis", program.tensors[f"{op.name}.basis"]))
    if op.bias:
        found.append(constant(f"{op.name}_bias", program.tensors[f"{op.name}.bias"]))
    return found


def scattered_constants(program: Program, op: Synapses, kind: str) -> list[Field]:
    """Weights as they are added, ``[input channel, row, column, output]``, columns in the order of the outputs that they reach; bias."""
    g = Geometry(program, op)
    each = g.out // g.groups
    whole = weights(op, program.tensors).reshape(g.groups, each, -1, *g.kernel).transpose(0, 2, 3, 4, 1)
    found = [constant(f"{op.name}_weight", whole[:, :, :, ::-1] if g.contiguous else whole, kind)]
    return [*found, constant(f"{op.name}_bias", program.tensors[f"{op.name}.bias"])] if op.bias else found


def scattering_function(program: Program, op: Synapses, kinds: tuple[str, str]) -> str:
    """``void NAME_scatter(x, acc)``: all sums; an input that is 0 costs a look, eight side by side one for all."""
    g, (taken, acc) = Geometry(program, op), kinds
    skip = """            if (c % 8 == 0) {
                uint64_t some;
                memcpy(&some, pixel + c, 8);
                if (!some) { c += 7; continue; }
            }
"""
    return f"""static void {op.name}_scatter(const {taken} *x, {acc} *acc) {{
    memset(acc, 0, {g.row_of_plane(True) * g.out_height} * sizeof *acc);
    for (int32_t line = 0; line < {g.height}; line++) for (int32_t column = 0; column < {g.width}; column++) {{
        const {taken} *pixel = x + (line * {g.width} + column) * {g.channels};
        for (int32_t c = 0; c < {g.channels}; c++) {{
{skip if taken == "int8_t" and g.channels % 8 == 0 else ""}            const {acc} a = pixel[c];
            if (!a) continue;
            for (int32_t i = 0; i < {g.kernel[0]}; i++) {{
                const int32_t below = line + {g.padding[0]} - i * {g.dilation[0]}, y = below / {g.stride[0]};
                if (below < 0 || below % {g.stride[0]} || y >= {g.out_height}) continue;
{_added(op, g, acc)}            }}
        }}
    }}
}}
"""


def _added(op: Synapses, g: Geometry, acc: str) -> str:
    """What one input adds to row y."""
    each, row = g.out // g.groups, g.row_of_plane(True)
    add = f"to[o] = ({acc})(to[o] + a * w[o]);"
    if g.contiguous:
        first = g.padding[1] + g.margin - (g.kernel[1] - 1)
        return f"""                {acc} *to = acc + y * {row} + (column + {first}) * {g.out};
                const {acc} *w = k.{op.name}_weight + (c * {g.kernel[0]} + i) * {g.kernel[1] * g.out};
                for (int32_t o = 0; o < {g.kernel[1] * g.out}; o++) {add}
"""
    to = f"acc + y * {row} + s * {g.out}" + (f" + c / {g.channels // g.groups} * {each}" if g.groups > 1 else "")
    return f"""                for (int32_t j = 0; j < {g.kernel[1]}; j++) {{
                    const int32_t reach = column + {g.padding[1]} - j * {g.dilation[1]}, s = reach / {g.stride[1]};
                    if (reach < 0 || reach % {g.stride[1]} || s >= {g.out_width}) continue;
                    {acc} *to = {to};
                    const {acc} *w = k.{op.name}_weight + ((c * {g.kernel[0]} + i) * {g.kernel[1]} + j) * {each};
                    for (int32_t o = 0; o < {each}; o++) {add}
                }}
"""


def row_function(program: Program, op: Synapses, kinds: tuple[str, str], planes: bool) -> str:
    """``void NAME_row(m, x, y, acc)``: the sums of output row y."""
    return _plane_row(program, op, kinds) if planes else _event_row(program, op, kinds)


def _event_row(program: Program, op: Synapses, kinds: tuple[str, str]) -> str:
    g, (taken, acc) = Geometry(program, op), kinds
    each = g.out // g.groups
    row_bytes = -(-each * op.bits // 8)
    index = f"(c * {g.kernel[0]} + i) * {g.kernel[1]} + j"
    to = f"s * {g.out}" + (f" + c / {g.channels // g.groups} * {each}" if g.groups > 1 else "")
    return f"""{_weight_function(op, g)}
static void {op.name}_row(const {taken} *x, int32_t y, {acc} *acc) {{
    memset(acc, 0, {g.row} * sizeof *acc);
    for (int32_t i = 0; i < {g.kernel[0]}; i++) {{
        const int32_t line = y * {g.stride[0]} + i * {g.dilation[0]} - {g.padding[0]};
        if (line < 0 || line >= {g.height}) continue;
        for (int32_t column = 0; column < {g.width}; column++) for (int32_t c = 0; c < {g.channels}; c++) {{
            const int32_t a = x[(line * {g.width} + column) * {g.channels} + c];
            if (!a) continue;
            for (int32_t j = 0; j < {g.kernel[1]}; j++) {{
                const int32_t reach = column + {g.padding[1]} - j * {g.dilation[1]}, s = reach / {g.stride[1]};
                if (reach < 0 || reach % {g.stride[1]} || s >= {g.out_width}) continue;
                const uint8_t *w = k.{op.name}_weight + ({index}) * {row_bytes};
                {acc} *to = acc + {to};
                for (int32_t o = 0; o < {each}; o++) to[o] = ({acc})(to[o] + a * {op.name}_weight(w, o{_channel(op, g, each)}));
            }}
        }}
    }}
}}
"""


def _channel(op: Synapses, g: Geometry, each: int) -> str:
    """The output channel, where a weight needs its basis."""
    if op.coding == "integer":
        return ""
    return f", o + c / {g.channels // g.groups} * {each}" if g.groups > 1 else ", o"


def _weight_function(op: Synapses, g: Geometry) -> str:
    """``NAME_weight(w, o)``: the weight at position o of a packed row; of planes with the channel whose basis it takes."""
    b = op.bits
    if b in (1, 2, 4, 8):
        code = f"w[o * {b} >> 3] >> (o * {b} & 7) & {2**b - 1}"
    else:
        code = f"((uint32_t)w[o * {b} >> 3] | (uint32_t)w[(o * {b} >> 3) + 1] << 8) >> (o * {b} & 7) & {2**b - 1}u"
    name, arguments = f"{op.name}_weight", "const uint8_t *w, int32_t o"
    if op.coding == "integer":
        sign = 2 ** (b - 1)
        return f"static inline int32_t {name}({arguments}) {{ return ((int32_t)({code}) ^ {sign}) - {sign}; }}\n"
    terms = "".join(f" + (code >> {bit} & 1 ? basis[{bit}] : -basis[{bit}])" for bit in range(b))
    return f"""static inline int32_t {name}({arguments}, int32_t c) {{
    const int32_t code = (int32_t)({code});
    const {{basis}} *basis = k.{op.name}_basis + c * {b};
    return {terms.removeprefix(" + ")};
}}
"""


def _plane_row(program: Program, op: Synapses, kinds: tuple[str, str]) -> str:
    g, (_, acc) = Geometry(program, op), kinds
    taps = g.kernel[0] * g.kernel[1]
    return f"""static void {op.name}_row(const uint32_t *bits, int32_t y, {acc} *acc) {{
    for (int32_t s = 0; s < {g.out_width}; s++) {{
        const uint32_t *pixel[{taps}];
        int32_t at[{taps}], taps = 0, active = 0;
        for (int32_t i = 0; i < {g.kernel[0]}; i++) for (int32_t j = 0; j < {g.kernel[1]}; j++) {{
            const int32_t line = y * {g.stride[0]} + i * {g.dilation[0]} - {g.padding[0]};
            const int32_t column = s * {g.stride[1]} + j * {g.dilation[1]} - {g.padding[1]};
            if (line < 0 || line >= {g.height} || column < 0 || column >= {g.width}) continue;
            pixel[taps] = bits + (line * {g.width} + column) * {g.words};
            for (int32_t w = 0; w < {g.words}; w++) active += ones(pixel[taps][w]);
            at[taps++] = (i * {g.kernel[1]} + j) * {g.words};
        }}
        for (int32_t o = 0; o < {g.out}; o++) {{
            int32_t sum = 0;
            for (int32_t b = 0; b < {op.bits}; b++) {{
                const uint32_t *plane = k.{op.name}_planes + (o * {op.bits} + b) * {taps * g.words};
                int32_t both = 0;
                for (int32_t t = 0; t < taps; t++) for (int32_t w = 0; w < {g.words}; w++) both += ones(plane[at[t] + w] & pixel[t][w]);
                sum += k.{op.name}_basis[o * {op.bits} + b] * (2 * both - active);
            }}
            acc[s * {g.out} + o] = ({acc})sum;
        }}
    }}
}}
"""


def packing_code(program: Program, op: Synapses, source: str) -> str:
    """Statements that pack the spikes of a value into words."""
    g = Geometry(program, op)
    return f"""        for (int32_t p = 0; p < {g.height * g.width}; p++) for (int32_t c = 0; c < {g.channels}; c++) {{
            if (c % 32 == 0) m->bits[p * {g.words} + c / 32] = 0;
            m->bits[p * {g.words} + c / 32] |= (uint32_t)({source})[p * {g.channels} + c] << c % 32;
        }}
"""


def _packed(g: Geometry) -> Integers:
    """``[input channel, row, column]`` of rows of outputs, each row whole bytes, and one byte more that a read may touch."""
    each = g.out // g.groups
    rows = g.codes.reshape(g.groups, each, -1, *g.kernel).transpose(0, 2, 3, 4, 1).reshape(-1, each)
    packed = np.concatenate([pack(row, g.op.bits) for row in rows])
    spare = np.zeros(0 if g.op.bits in (1, 2, 4, 8) else 1, np.uint8)
    return np.concatenate([packed, spare]).astype(np.int64)


def _planes(g: Geometry) -> Integers:
    """``[output, plane, row, column, word]``."""
    padded = np.zeros((g.out, 32 * g.words, *g.kernel), np.int64)
    padded[:, : g.channels] = g.codes
    bits = padded[:, None] >> np.arange(g.op.bits).reshape(1, -1, 1, 1, 1) & 1
    words = bits.reshape(g.out, g.op.bits, g.words, 32, *g.kernel).transpose(0, 1, 4, 5, 2, 3)
    return np.asarray((words << np.arange(32)).sum(-1), dtype=np.int64)
