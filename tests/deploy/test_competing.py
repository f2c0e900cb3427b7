"""Networks whose neurons compete as programs: every spike of the network, votes in its order, and what is refused."""

import numpy as np
import pytest
import torch

import spikequant as sq
from spikequant.data import Batches, Split
from spikequant.deploy.bounds import weights as integers
from spikequant.deploy.competing import competed
from spikequant.deploy.machine import encode
from spikequant.deploy.program import Source
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.stdp import stdp_net
from spikequant.recipes import quantize

FORMAT = {"integer": 11, "fraction": 6}


def learned(neurons: int = 6, **choices: object) -> Network:
    """A network as if it had learned: strong weights, thresholds of their own, classes of 1, 2 and 3 neurons."""
    torch.manual_seed(0)
    network = Network(stdp_net(16, neurons, classes=3, time=60, **choices)).eval()
    network.synapses.weight.data.uniform_(0, 1).mul_(2)
    network.excitatory.adapted.uniform_(0, 3)
    network.vote.labels.copy_(torch.tensor([0, 1, 1, 2, 2, 2, -1])[:neurons])
    return network


def images(count: int = 12) -> Batches:
    drawn = np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4))
    return Batches(Split(torch.from_numpy(drawn).byte(), torch.arange(count) % 3), 6, 64.0)


def quantized(network: Network, **weights: object) -> Network:
    state = sq.FixedPoint(**FORMAT)
    recipe = sq.Recipe(weights=sq.FixedPoint(integer=1, fraction=6, **weights), state=state, constants=state)
    small = quantize(network, recipe, calibration=images())
    small.get_submodule("vote").labels.copy_(network.get_submodule("vote").labels)
    return small.eval()


def test_fixed_point_gives_the_spikes_of_the_network() -> None:
    small = quantized(learned())
    program = sq.lower(small, images())
    found = program.check(small, images())
    assert found.exact, found.first
    assert found.layers[0].program_rates.sum() > 0.1
    assert found.program_accuracy == found.network_accuracy
    assert [op.kind for op in program.header.operations][2:] == ["delay", "inhibit", "add", "lif", "winner", "dense"]


def test_another_threshold_is_seen() -> None:
    small = quantized(learned())
    program = sq.lower(small, images())
    tensors = program.tensors | {"excitatory_cells.threshold": program.tensors["excitatory_cells.threshold"] + 64}
    found = sq.Program(program.header, tensors).check(small, images())
    assert not found.exact
    assert found.first.layer == "excitatory"


def test_float_becomes_what_is_nearest_and_says_so() -> None:
    program = sq.lower(learned(), images())
    assert any("weights become 8 bits" in words for words in program.report["changed"])
    assert any("membranes take 16 bits" in words for words in program.report["changed"])
    assert program.report["layers"]["excitatory"]["spikes_changed"] < 0.02


def test_coarser_states_shift_and_finer_ones_lift_the_sums() -> None:
    for fraction, shifts in ((4, (0, 2)), (8, (2, 0))):
        network = learned()
        state = sq.FixedPoint(integer=11, fraction=fraction)
        recipe = sq.Recipe(weights=sq.FixedPoint(integer=1, fraction=6), state=state)
        small = quantize(network, recipe, calibration=images()).eval()
        small.get_submodule("vote").labels.copy_(network.get_submodule("vote").labels)
        program, _ = competed(small)
        by_name = {op.name: op for op in program.header.operations}
        assert (by_name["synapses"].shift, by_name["excitatory_cells"].shift) == shifts
        assert program.check(small, images()).layers[0].different <= 4


def test_all_may_win_where_none_is_drawn() -> None:
    network = learned()
    network.excitatory.competition = network.excitatory.competition._replace(single=False)
    small = quantized(network)
    program = sq.lower(small, images())
    assert "winner" not in {op.kind for op in program.header.operations}
    assert program.reach("vote").high > 0


def test_a_class_counts_its_spikes_over_its_neurons() -> None:
    program, changed = competed(quantized(learned(7)))
    op = program.header.operations[-1]
    # The least common multiple of 1, 2 and 3 neurons is 6; the seventh neuron has no class.
    assert (integers(op, program.tensors) / 2).tolist() == [[6, 0, 0, 0, 0, 0, 0], [0, 3, 3, 0, 0, 0, 0], [0, 0, 0, 2, 2, 2, 0]]
    assert not any("votes" in words for words in changed)


def test_refusals() -> None:
    with pytest.raises(SpecError, match="conductance"):
        competed(learned(reading="conductance"))
    network = learned()
    network.vote.labels.fill_(-1)
    with pytest.raises(SpecError, match="assign"):
        competed(network)
    with pytest.raises(SpecError, match="encode, flatten"):
        competed(sq.models.build("digits"))


def test_images_become_the_spikes_that_the_network_draws() -> None:
    small = quantized(learned())
    program, _ = competed(small)
    (x, _), *_ = images()
    assert np.array_equal(encode(program, x.numpy()), small.encode(x, 60).numpy())
    assert np.array_equal(program.run(x.numpy()), program.run(encode(program, x.numpy())))
    with torch.no_grad():
        assert np.array_equal(program.predict(x.numpy()), small(x).argmax(1).numpy())


def test_a_rate_draws_spikes() -> None:
    with pytest.raises(SpecError, match="still=False"):
        Source(shape=(1,), rate=0.5)


def test_nir_refuses_and_says_why(tmp_path) -> None:
    pytest.importorskip("nir")
    with pytest.raises(SpecError, match="NIR has no delay"):
        sq.lower(quantized(learned()), images()).write_nir(tmp_path / "a.nir")
