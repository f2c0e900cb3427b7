import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.emit import sources
from spikequant.deploy.c.layout import Form
from spikequant.deploy.c.stages import accumulator, kept, sum_fields
from spikequant.deploy.operations import Conv2d, Dense


def synapses(program: Program) -> list[Conv2d | Dense]:
    return [op for op in program.header.operations if isinstance(op, Conv2d | Dense)]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form(), {"row_int16": 16}),  # 8 pixels of 2 channels
        (Form(once=True), {"conv1_sums": 128, "row_int16": 16}),  # and all 8 rows of the first layer
        (Form(once=True, scattered=True), {"conv1_sums": 160, "row_int16": 160}),  # 8 rows of 10 pixels: a margin of 1 on both sides
    ],
)
def test_memory_of_sums(residual: Program, form: Form, expected: dict[str, int]) -> None:
    assert {field.name: field.elements for field in sum_fields(residual, synapses(residual), form)} == expected


def test_a_still_image_is_summed_when_it_is_shown(residual: Program) -> None:
    assert [op.name for op in synapses(residual) if kept(residual, op, Form(once=True))] == ["conv1"]
    show, step = sources(residual, {}, form=Form(once=True)).source.split("void net_show")[1].split("void net_step")
    assert "conv1_row(out" in show
    assert "conv1_row" not in step
    assert "conv1_row(x0" in sources(residual, {}).source.split("void net_step")[1]


def test_sums_are_as_wide_as_proven(residual: Program) -> None:
    assert {accumulator(residual, op) for op in synapses(residual)} == {"int16_t"}
