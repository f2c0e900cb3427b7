import numpy as np
import pytest
from safetensors.numpy import load

from spikequant.deploy import Program
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.ledger import ledger, storage
from spikequant.deploy.operations import Dense, Lif
from spikequant.deploy.program import Header, Source


@pytest.fixture
def dense() -> Program:
    """Three inputs, two neurons without leak, two steps of events."""
    operations = (
        Dense(name="dense", inputs=("input",), bits=4, features=2, bias=False),
        Lif(name="lif", inputs=("dense",), state_bits=6, reset="value"),
    )
    tensors = {"dense.weight": np.array([[1, 2, 0], [0, 0, 5]]), "lif.threshold": np.array([3, 9])}
    return Program(Header(name="dense", time=2, source=Source(shape=(3,), still=False, high=2), operations=operations), tensors)


def test_neurons_alone_have_no_synaptic_work() -> None:
    """An input of 1 meets a threshold of 1 at once, every membrane is reset: all is spikes, nothing changes."""
    lif = Lif(name="lif", inputs=("input",), state_bits=6, reset="value")
    program = Program(Header(name="alone", time=2, source=Source(shape=(3,)), operations=(lif,)), {"lif.threshold": np.ones(3)})
    found = ledger(program, np.ones((2, 3), np.int64))
    assert (found.work, found.sparsity, found.energy.convention_fp32) == ({}, 0, 0)
    assert found.events.total_bits > 0


def test_bytes_are_those_of_the_file(residual: Program, tmp_path) -> None:
    residual.save(tmp_path / "net.sqp")
    found = storage(residual)
    assert found.file == (tmp_path / "net.sqp").stat().st_size
    stored = {name: value.nbytes for name, value in load((tmp_path / "net.sqp").read_bytes()).items()}
    assert found.weight == sum(size for name, size in stored.items() if name.endswith("weight")) == 9 + 9 + 15
    assert found.threshold == sum(size for name, size in stored.items() if name.endswith("threshold")) == 2 + 2 + 5
    assert (found.bias, found.table) == (2 + 2 + 5, 4)
    assert found.state == 128 + 128 + 4  # 5 states of 6 bits


def test_work_by_hand(dense: Program) -> None:
    # One image: inputs 1 0 0, then 1 1 0. The third column alone reaches the second neuron.
    found = ledger(dense, np.array([[[1, 0, 0]], [[1, 1, 0]]]))
    work = found.work["dense"]
    assert work == (12, 3, 3, True, 2)
    # v of the first neuron: 1, then 4: a spike, and 0. Two states change, two are reached.
    assert found.sparsity == 3 / 4
    assert found.dense == (12 * 4, 2 * 2 * 2 * 6)
    assert found.events == (3 * 4, 2 * 6 + 2 * 6)
    assert found.energy.convention_fp32 == pytest.approx(3 * 0.9)
    assert found.energy.integer_aware == pytest.approx(3 * 0.03)
    assert found.energy.with_memory == pytest.approx(3 * 0.03 + (12 + 24) / 64 * 10)


def test_counts_above_one_are_multiplications(dense: Program) -> None:
    found = ledger(dense, np.array([[[2, 0, 0]], [[1, 1, 0]]]))
    assert found.work["dense"] == (12, 3, 4, False, 2)
    assert found.energy.convention_fp32 == pytest.approx(3 * 4.6)
    assert found.energy.integer_aware == pytest.approx(3 * (0.03 + 0.2))


def test_images_that_do_more_cost_more(residual: Program) -> None:
    images = drawn(residual, 8)
    busy, idle = (residual.ledger(each) for each in (images, np.zeros_like(images)))
    assert all(busy.work[name].dense == idle.work[name].dense for name in busy.work)
    assert busy.dense == idle.dense
    assert idle.work["conv1"].effective == 0
    assert busy.events.total_bits < busy.dense.total_bits
    assert 0 < busy.sparsity < 1
