"""Two small programs: one uses most operations, the neurons of the other compete."""

from collections.abc import Callable

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.deploy.operations import Add, Conv2d, Dense, Flatten, Leak, Lif, OrPool, SumPool
from spikequant.deploy.program import Header, Source


@pytest.fixture
def residual() -> Program:
    """conv - lif - (conv - lif, add) - sum-pool - or-pool - flatten - dense - lif, two channels, five classes."""
    leak = Leak(kind="multiply_shift", multiplier=192, shift=8)
    same = {"channels": 2, "kernel": (3, 3), "padding": (1, 1)}
    operations = (
        Conv2d(name="conv1", inputs=("input",), bits=4, **same),
        Lif(name="lif1", inputs=("conv1",), state_bits=8, leak=leak),
        Conv2d(name="conv2", inputs=("lif1",), bits=2, coding="planes", **same),
        Lif(name="lif2", inputs=("conv2",), state_bits=8, leak=Leak(kind="shift_min1", shift=2), reset="value", shift=1),
        Add(name="add", inputs=("lif1", "lif2")),
        SumPool(name="sums", inputs=("add",), size=(2, 2), stride=(2, 2)),
        OrPool(name="ors", inputs=("sums",), size=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("ors",)),
        Dense(name="dense", inputs=("flat",), bits=3, features=5),
        Lif(name="lif3", inputs=("dense",), state_bits=6, leak=Leak(kind="shift", shift=2)),
    )
    header = Header(
        name="residual", time=4, source=Source(shape=(1, 8, 8), low=-127, high=127, step=1 / 127), operations=operations, info={"bits": 4}
    )
    draw = np.random.default_rng(3)
    tensors = {
        "conv1.weight": draw.integers(-7, 8, (2, 1, 3, 3)),
        "conv1.bias": draw.integers(-9, 10, 2),
        "lif1.threshold": np.array([60, 90]),
        "conv2.weight": draw.integers(0, 4, (2, 2, 3, 3)),
        "conv2.basis": np.array([[3, 7], [2, 5]]),
        "conv2.bias": np.array([1, -1]),
        "lif2.threshold": np.array([5, 9]),
        "dense.weight": draw.integers(-4, 4, (5, 8)),
        "dense.bias": np.arange(5),
        "lif3.threshold": np.arange(4, 9),
    }
    return Program(header, tensors)


@pytest.fixture
def summing() -> Callable[[int, int], Program]:
    """``summing(shift, time)``: eight inputs to a score of ``1016 * 2^shift + 1`` a step, and to one of 0, where all of them are 1."""

    def made(shift: int, time: int) -> Program:
        op = Dense(name="dense", inputs=("input",), bits=8, features=2, shift=shift)
        tensors = {"dense.weight": np.repeat([[127], [0]], 8, axis=1), "dense.bias": np.array([1, 0])}
        return Program(Header(name="summing", time=time, source=Source(shape=(8,)), operations=(op,)), tensors)

    return made


@pytest.fixture
def competing() -> Program:
    """As Q-SpiNN's network: flatten - dense - (delay, inhibit, add) - lif with a pause - winner - votes, four neurons, two classes."""
    leak = Leak(kind="multiply_shift", multiplier=250, shift=8, rounding="half_up")
    operations = (
        Flatten(name="flat", inputs=("input",)),
        Dense(name="synapses", inputs=("flat",), bits=3, features=4, bias=False),
        Delay(name="before", inputs=("winner",), shape=(4,)),
        Inhibit(name="pull", inputs=("before",), strength=20),
        Add(name="charge", inputs=("synapses", "pull")),
        Lif(name="cells", inputs=("charge",), state_bits=8, leak=leak, reset="value", refractory=2),
        Winner(name="winner", inputs=("cells",), draws=6),
        Dense(name="vote", inputs=("winner",), bits=2, features=2, bias=False, coding="planes"),
    )
    source = Source(shape=(1, 3, 3), low=0, high=1, still=False, rate=0.5)
    draw = np.random.default_rng(5)
    tensors = {
        "synapses.weight": draw.integers(0, 4, (4, 9)),
        "cells.threshold": np.array([4, 5, 6, 7]),
        "winner.draws": draw.integers(0, 2**15, 6),
        "vote.weight": draw.integers(0, 4, (2, 4)),
        "vote.basis": np.array([[3, 3], [2, 2]]),
    }
    return Program(Header(name="competing", time=6, source=source, operations=operations), tensors)
