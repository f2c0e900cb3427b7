import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.loading import compiler
from spikequant.deploy.c.tracing import traced
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.verifying import in_torch

pytestmark = pytest.mark.skipif(compiler() is None, reason="no cc")


@pytest.mark.parametrize("kind", ["residual", "competing"])
def test_the_c_emits_what_torch_emits(kind: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(kind)
    images = drawn(program, 5, 1)
    (found, scores), (expected, right) = traced(program, images), in_torch(program, images)
    assert np.array_equal(scores, right)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(value, expected[name]) and value.any() for name, value in found.items())


def test_pixels_are_looked_up(residual: Program) -> None:
    source = residual.header.source.model_copy(update={"table": True})
    table = np.arange(-128, 128).clip(-127, 127).reshape(1, 256)
    program = Program(residual.header.model_copy(update={"source": source}), residual.tensors | {"input.table": table})
    images = drawn(program, 3, 2)
    assert images.dtype.kind != "f"
    assert all(np.array_equal(value, in_torch(program, images)[0][name]) for name, value in traced(program, images)[0].items())
