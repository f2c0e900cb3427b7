import numpy as np

from spikequant.deploy.bounds import Range
from spikequant.deploy.c.text import Field, constant, holder, initializers, members, ordered, struct_bytes


def test_types_are_the_narrowest() -> None:
    assert [holder(Range(0, high)) for high in (127, 128, 40_000)] == ["int8_t", "int16_t", "int32_t"]
    assert constant("a", np.array([[1, -129]])).kind == "int16_t"


def test_wide_fields_come_first_and_leave_no_hole() -> None:
    fields = ordered([Field("a", "int8_t", 3), Field("b", "int32_t", 2), Field("c", "int16_t", 1)])
    assert [field.name for field in fields] == ["b", "c", "a"]
    assert struct_bytes(fields) == 16  # 8 + 2 + 3, and 3 to the next multiple of 4


def test_as_written() -> None:
    field = constant("a", np.array([1, -2]))
    assert members([field]) == "    int8_t a[2];\n"
    assert initializers([field]) == "    .a = {\n        1, -2}\n"
    assert " 5u}" in initializers([constant("b", np.array([5]), "uint32_t")])


def test_lines_are_short() -> None:
    text = initializers([constant("a", np.arange(1000))])
    assert max(map(len, text.splitlines())) <= 140
    assert text.count(",") == 999
