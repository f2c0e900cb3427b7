from spikequant.deploy import Program
from spikequant.deploy.c.emit import sources


def test_no_library_is_called(residual: Program) -> None:
    made = sources(residual, {}, "mine")
    assert [line for line in made.source.splitlines() if line.startswith("#include")] == ["#include <string.h>", '#include "model.h"']
    assert "malloc" not in made.source
    assert "float" not in made.source
    assert "double" not in made.source
    assert residual.hash in made.source
    assert "int32_t mine_run(mine_memory *m, const int8_t *image);" in made.header


def test_no_accumulator_plane_is_held(residual: Program) -> None:
    rows = [field for field in sources(residual, {}).memory if field.name.startswith("row_")]
    assert [(row.name, row.elements) for row in rows] == [("row_int16", 16)]  # a row of 8 pixels of 2 channels


def test_sizes_are_sums_of_their_parts(residual: Program) -> None:
    made = sources(residual, {})
    assert made.constant_bytes - sum(field.size for field in made.constants) in range(4)
    assert {field.name: field.size for field in made.memory}["lif1_v"] == 128
