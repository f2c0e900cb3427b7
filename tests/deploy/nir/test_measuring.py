import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.machine import encode, moments
from spikequant.deploy.nir import READERS
from spikequant.deploy.nir.measuring import differing, shown
from spikequant.deploy.nir.view import viewed
from spikequant.deploy.operations import Leak, Lif


def exact(program: Program) -> Program:
    """Without leak, with a reset to zero and states wide enough: NIR's equations hold for it."""
    update = {"leak": Leak(), "reset": "value", "state_bits": 16, "shift": 0}
    operations = [op.model_copy(update=update) if isinstance(op, Lif) else op for op in program.header.operations]
    return Program(program.header.model_copy(update={"operations": tuple(operations)}), program.tensors)


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_program_that_nir_can_say_loses_no_spike(reader: str, expressible: Program, images: np.ndarray) -> None:
    program, how = exact(expressible), READERS[reader]
    spikes, different = differing(program, viewed(program, how), how, images)
    assert (spikes, different) == (16 * 4 * (64 * 4 + 5), 0)


def test_rounding_and_soft_resets_are_counted(expressible: Program, images: np.ndarray) -> None:
    how = READERS["spikingjelly"]
    parts = viewed(expressible, how)
    found = shown(expressible, parts, how, images)
    wrong = 0
    for t, moment in enumerate(moments(expressible, encode(expressible, images))):
        wrong += sum(int((found[name][t].numpy() != moment.values[name]).sum()) for name in ("lif1", "lif2", "lif3"))
    assert differing(expressible, parts, how, images)[1] == wrong > 0


def test_a_pool_of_spikes_says_whether_there_is_one(expressible: Program, images: np.ndarray) -> None:
    program = exact(expressible)
    for how in READERS.values():
        found = shown(program, viewed(program, how), how, images)["ors"]
        for t, moment in enumerate(moments(program, encode(program, images))):
            assert np.array_equal(found[t].numpy(), moment.values["ors"])
