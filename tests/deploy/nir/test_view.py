import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.nir import READERS
from spikequant.deploy.nir.view import Neurons, Synapses, viewed
from spikequant.deploy.operations import Leak, Synapse
from spikequant.errors import SpecError


def test_one_threshold_for_a_layer(expressible: Program) -> None:
    parts = viewed(expressible, READERS["spikingjelly"])
    conv, lif = parts["conv1"], parts["lif1"]
    assert isinstance(conv, Synapses)
    assert isinstance(lif, Neurons)
    whole = expressible.tensors["conv1.weight"]
    assert np.allclose(conv.weight, whole / np.array([60, 90]).reshape(2, 1, 1, 1))
    assert np.allclose(conv.bias, expressible.tensors["conv1.bias"] / [60, 90])
    assert (lif.decay, lif.gain) == (0.75, 1.0)
    assert np.allclose(lif.threshold, 1 - 0.5 / 90)  # half a unit below the finest


def test_who_ignores_r_gets_larger_weights(expressible: Program) -> None:
    heeding, ignoring = (viewed(expressible, READERS[name])["conv1"] for name in ("snntorch", "norse"))
    assert isinstance(heeding, Synapses)
    assert isinstance(ignoring, Synapses)
    assert np.allclose(ignoring.weight, heeding.weight / 0.25)


def test_a_mean_pool_is_made_good_by_the_weights_after_it(expressible: Program) -> None:
    mean, summed = (viewed(expressible, READERS[name])["dense"] for name in ("snntorch", "norse"))
    assert isinstance(mean, Synapses)
    assert isinstance(summed, Synapses)
    assert np.allclose(mean.weight, 4 * 0.25 * summed.weight)  # 4 of the window; a quarter, for Norse ignores r


def test_a_synaptic_current_is_said_where_the_reader_knows_it(expressible: Program) -> None:
    synapse = Synapse(bits=16, leak=Leak(kind="multiply_shift", multiplier=3, shift=3))
    behind = [op.model_copy(update={"synapse": synapse}) if op.name == "lif1" else op for op in expressible.header.operations]
    program = Program(expressible.header.model_copy(update={"operations": tuple(behind)}), expressible.tensors)
    for reader in ("norse", "snntorch"):
        parts = viewed(program, READERS[reader])
        lif = parts["lif1"]
        assert isinstance(lif, Neurons)
        assert (lif.current, lif.gain) == (0.375, 1.0)
    with pytest.raises(SpecError, match=r"lif1: this reader knows no synaptic current \(CubaLIF\); take norse or snntorch"):
        viewed(program, READERS["spikingjelly"])


def test_what_nir_cannot_say_is_refused(residual: Program) -> None:
    with pytest.raises(SpecError, match="ors: NIR has no maximum"):
        viewed(residual, READERS["norse"])
