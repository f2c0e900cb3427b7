"""A folder of C: model.h, model.c, test vectors with their hash, a Makefile, and what all of it takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant import files
from spikequant.deploy.c.emit import Sources, sources
from spikequant.deploy.c.layout import Form
from spikequant.deploy.c.text import Field, constant, initializers, members
from spikequant.deploy.c.vectors import activity, drawn, first, hashes, inputs
from spikequant.deploy.machine import run
from spikequant.deploy.operations import Lif
from spikequant.deploy.program import Program
from spikequant.errors import SpecError

VECTORS = 4
MAKEFILE = """# make test: compile model.c and compare every state and spike of the test vectors with the program's hash.
CC ?= cc
CFLAGS ?= -Os
WARNINGS = -std=c99 -pedantic -Wall -Wextra -Werror

test: main_test
\t./main_test

main_test: main_test.c model.c model.h vectors.h
\t$(CC) $(CFLAGS) $(WARNINGS) -DSPIKEQUANT_CHECK main_test.c model.c -o $@

model.o: model.c model.h
\t$(CC) $(CFLAGS) $(WARNINGS) -c model.c -o $@

size: model.o
\tsize -A model.o

clean:
\trm -f main_test model.o

.PHONY: test size clean
"""
MAIN = """#include <stdio.h>

#include "model.h"
#include "vectors.h"

static PREFIX_memory memory;

int main(void) {
    int wrong = 0;
    for (int i = 0; i < VECTORS; i++) {
        const int32_t found = PREFIX_run(&memory, vectors.images + i * VECTOR_SIZE);
        const uint32_t hash = PREFIX_hash(&memory);
        const int good = hash == vectors.hashes[i] && found == vectors.classes[i];
        printf("vector %d: class %ld, hash %08lx, %s\\n", i, (long)found, (unsigned long)hash, good ? "as the program" : "WRONG");
        wrong += !good;
    }
    return wrong != 0;
}
"""


def write_c(program: Program, folder: str | Path, images: Any = None, prefix: str = "net", *, once: bool = False) -> dict[str, Any]:
    """Write a program as C99 and return its report, which is written beside it as report.json.

    ``images``, as ``program.run`` takes them but bytes where it has a table of pixels, say how active the layers are, by which LQ-Net's
    weights go into bit planes or not; the first of them become test vectors. Without them both are drawn at random. ``prefix`` begins
    every public name. ``once``: what the first layer makes of a still image is computed once and kept, which takes memory for all its sums.

    Raises:
        SpecError: the prefix is no C name, scores can leave 32 bits, or the program takes pixels and these are real numbers.
        MismatchError: the images do not fit the program.
        SpikequantError: the folder cannot be written.
    """
    if not (prefix.isidentifier() and prefix.isascii()):
        raise SpecError(f"prefix {prefix!r} must be a C name, as 'net'")
    shown = inputs(program, drawn(program, VECTORS) if images is None else images)
    rates = activity(program, shown)
    made = sources(program, rates, prefix, Form(once=once))
    report = {"program": program.hash, "activity": rates, **_sizes(program, made)}
    contents = {
        "model.h": made.header,
        "model.c": made.source,
        "vectors.h": _vectors(program, first(program, shown, VECTORS)),
        "main_test.c": MAIN.replace("PREFIX", prefix),
        "Makefile": MAKEFILE,
        "report.json": json.dumps(report, indent=1) + "\n",
    }
    place = files.folder(Path(folder))
    for name, content in contents.items():
        files.write(place / name, content)
    return report


def as_bytes(program: Program, images: Any) -> NDArray[Any]:
    """Images as the C takes them: ``[image, number]`` of bytes, all steps of an image together."""
    source, shown = program.header.source, inputs(program, images)
    rows = shown if source.still else np.moveaxis(shown, 1, 0)
    return np.ascontiguousarray(rows.reshape(len(rows), -1).astype(np.uint8 if source.table else np.int8))


def _vectors(program: Program, images: NDArray[Any]) -> str:
    codes = as_bytes(program, images).astype(np.int64)
    fields = [
        Field("hashes", "uint32_t", len(codes), np.array(hashes(program, images))),
        constant("classes", program.chosen(run(program, images)), "int32_t"),
        constant("images", codes, "uint8_t" if program.header.source.table else "int8_t"),
    ]
    return f"""#define VECTORS {len(codes)}
#define VECTOR_SIZE {codes.shape[1]}

static const struct {{
{members(fields)}}} vectors = {{
{initializers(fields)}}};
"""


def _sizes(program: Program, made: Sources) -> dict[str, Any]:
    """Bytes: ``constant_bytes`` is the section ``.rodata``, ``memory_bytes`` is ``sizeof`` of the memory."""
    parts = {field.name: field.size for field in made.constants}
    states = {f"{op.name}_{part}" for op in program.header.operations if isinstance(op, Lif) for part in ("v", "current", "left")}
    return {
        "constant_bytes": made.constant_bytes,
        "constants": parts,
        "memory_bytes": made.memory_bytes,
        "memory": {field.name: field.size for field in made.memory},
        "state_bytes": sum(field.size for field in made.memory if field.name in states),
        "planes": list(made.planes),
        "bounds": {name: [proof.widest.low, proof.widest.high, proof.accumulator_bits] for name, proof in program.proofs.items()},
    }
