import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.layout import channels_last, height_width, plan
from spikequant.deploy.operations import Dense, Flatten
from spikequant.deploy.program import Header, Source


def test_synapses_run_with_the_neurons_that_alone_read_them(residual: Program) -> None:
    stages = plan(residual).stages
    assert [(stage.op.name, stage.name) for stage in stages[:3]] == [("conv1", "lif1"), ("conv2", "lif2"), ("add", "add")]


def test_values_that_live_together_lie_apart(residual: Program) -> None:
    layout = plan(residual)
    born = {stage.name: index for index, stage in enumerate(layout.stages)}
    used = {source: index for index, stage in enumerate(layout.stages) for source in stage.op.inputs}
    for a, first in layout.buffers.items():
        for b, second in layout.buffers.items():
            lives = [(born.get(name, -1), len(born) if name == "input" else used.get(name, len(born))) for name in (a, b)]
            together = lives[0][0] <= lives[1][1] and lives[1][0] <= lives[0][1]
            apart = first.offset + first.elements <= second.offset or second.offset + second.elements <= first.offset
            assert a == b or first.kind != second.kind or not together or apart, (a, b)


def test_memory_is_shared(residual: Program) -> None:
    layout = plan(residual)
    assert sum(arena.elements for arena in layout.arenas) < sum(buffer.elements for buffer in layout.buffers.values())


def test_channels_lie_last() -> None:
    assert channels_last(np.arange(8).reshape(1, 2, 2, 2)).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert channels_last(np.arange(6).reshape(1, 2, 3)).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert height_width((7,)) == (7, 1, 1)


@pytest.mark.parametrize(("shape", "stays"), [((1, 3, 2), True), ((6, 1, 1), True), ((2, 3, 1), False)])
def test_a_flattened_value_of_one_channel_or_one_pixel_lies_where_it_was(shape: tuple[int, ...], stays: bool) -> None:
    operations = (Flatten(name="flat", inputs=("input",)), Dense(name="dense", inputs=("flat",), bits=2, features=2, bias=False))
    header = Header(name="a", time=1, source=Source(shape=shape), operations=operations)
    layout = plan(Program(header, {"dense.weight": np.ones((2, 6), np.int64)}))
    assert (layout.buffers["flat"] == layout.buffers["input"]) == stays
    assert [stage.name for stage in layout.stages] == (["dense"] if stays else ["flat", "dense"])


def test_a_value_that_is_only_flattened_lives_until_it_is_read_out() -> None:
    """Sums that end as scores must not share memory with what comes after their last reader."""
    links = (("a", "input"), ("b", "a"), ("c", "b"))
    dense = [Dense(name=name, inputs=(source,), bits=2, features=6, bias=False) for name, source in links]
    header = Header(name="a", time=1, source=Source(shape=(6,)), operations=(*dense, Flatten(name="flat", inputs=("a",))))
    layout = plan(Program(header, {f"{name}.weight": np.eye(6, dtype=np.int64) for name, _ in links}))
    assert layout.buffers["flat"] == layout.buffers["a"] != layout.buffers["c"]
