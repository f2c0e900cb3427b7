import numpy as np
import pytest

from spikequant.deploy import Program


@pytest.fixture
def expressible(residual: Program) -> Program:
    """The residual program with its pools in the order that NIR can say: first whether there is a spike, then how many."""
    swapped = {"sums": {"inputs": ("ors",)}, "ors": {"inputs": ("lif2",)}, "flat": {"inputs": ("sums",)}}
    operations = {op.name: op.model_copy(update=swapped.get(op.name, {})) for op in residual.header.operations if op.name != "add"}
    order = [operations[name] for name in ("conv1", "lif1", "conv2", "lif2", "ors", "sums", "flat", "dense", "lif3")]
    return Program(residual.header.model_copy(update={"operations": tuple(order)}), residual.tensors)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(-127, 128, (16, 1, 8, 8))
