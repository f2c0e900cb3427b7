"""What every layer of neurons emits in the generated C, for comparing it with the interpreter spike by spike."""

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant.deploy.c.emit import sources
from spikequant.deploy.c.layout import Form, height_width, plan
from spikequant.deploy.c.loading import loaded
from spikequant.deploy.c.vectors import activity
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.operations import emitting
from spikequant.deploy.program import Program

LOOP = """
void net_trace(net_memory *m, const void *images, int32_t count, int32_t *seen, int32_t *scores) {
    net_seen = seen;
    for (int32_t n = 0; n < count; n++) {
        net_run(m, (const KIND *)images + (int64_t)n * SIZE);
        memcpy(scores + (int64_t)n * net_CLASSES, m->scores, sizeof m->scores);
    }
}
"""


def traced(program: Program, images: Any) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """What every layer of neurons emits ``[time, batch, ...]``, and scores, in the C of ``write_c``, its planes chosen by these images.

    Raises:
        SpecError: there is no C compiler (``CC``, else ``cc``), or it fails, or scores can leave 32 bits.
    """
    made, shown = sources(program, activity(program, images), form=Form(traced=True)), as_bytes(program, images)
    loop = LOOP.replace("SIZE", str(shown.shape[1])).replace("KIND", "uint8_t" if program.header.source.table else "int8_t")
    wanted = emitting(program.header.operations)
    names = [stage.name for stage in plan(program).stages if stage.name in wanted]
    counts = [math.prod(program.shapes[name]) for name in names]
    seen = np.empty((len(shown), program.header.time, sum(counts)), np.int32)
    scores, memory = np.empty((len(shown), program.classes), np.int32), np.empty(-(-made.memory_bytes // 8), np.int64)
    places = [ctypes.c_void_p(each.ctypes.data) for each in (memory, shown, seen, scores)]
    loaded(made.header, made.source + loop).net_trace(*places[:2], ctypes.c_int32(len(shown)), *places[2:])
    parts = np.split(seen, np.cumsum(counts)[:-1], axis=2)
    return {name: _channels_first(program, name, part) for name, part in zip(names, parts, strict=True)}, scores


def _channels_first(program: Program, name: str, seen: NDArray[Any]) -> NDArray[Any]:
    """``[image, time, number]`` as it lies in memory as ``[time, image, channel, ...]``."""
    channels, height, width = height_width(program.shapes[name])
    laid = seen.reshape(*seen.shape[:2], height, width, channels)
    return np.moveaxis(laid, -1, 2).swapaxes(0, 1).reshape(seen.shape[1], seen.shape[0], *program.shapes[name])
