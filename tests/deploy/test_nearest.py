import copy

import numpy as np
import pytest
import torch

from spikequant.deploy import lower
from spikequant.deploy.bounds import weights
from spikequant.deploy.nearest import membranes, whole_weights
from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build
from spikequant.neurons import LIF
from spikequant.quantizers import (
    LSQ,
    MINT,
    Binary,
    FixedPoint,
    LQNet,
    QSNNBinary,
    ReScaW,
    SpikeFit,
    SpQuant,
    ThresholdCentered,
    Uniform,
)
from spikequant.recipes import Recipe, quantize
from spikequant.recipes.folding import fold, units

BATCHES = [(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(16) % 10) for seed in range(4)]


@pytest.fixture(scope="module")
def float_network() -> Network:
    torch.manual_seed(0)
    network = build("digits")
    for norm in (network.norm1, network.norm2):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.weight.data[::3] *= -1
        norm.bias.data.uniform_(-0.2, 0.5)
    network.train()
    for x, _ in BATCHES * 10:
        network(x)
    return network.eval()


WEIGHTS = {
    "LQ-Net": LQNet(bits=2),
    "mid-rise": Uniform(bits=4, low=-1.0, high=1.0),
    "mid-tread": Uniform(bits=3, low=-0.2, high=0.2, levels_at="zero"),
    "per channel": Uniform(bits=4, per_channel=True, levels_at="zero"),
    "fixed point": FixedPoint(integer=0, fraction=3),
    "LSQ": LSQ(bits=4),
    "binary": Binary(),
    "Q-SNN": QSNNBinary(),
    "ReScaW": ReScaW(bits=2),
    "SpikeFit": SpikeFit(bits=2),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_on_a_grid_stay_there(float_network: Network, name: str) -> None:
    """Whole numbers times scales are the folded weights: exactly, but for LQ-Net's basis of 8 bits."""
    network = quantize(float_network, Recipe(weights=WEIGHTS[name]), BATCHES)
    folded = fold(network, units(network, 1.0))["conv2"]
    found = whole_weights("conv2", network.conv2, folded)
    program = lower(network, BATCHES)
    op = next(op for op in program.header.operations if op.name == "conv2")
    real = torch.tensor(weights(op, program.tensors)) * found.scale.reshape(-1, 1, 1, 1)
    error = float((real - folded.weight).abs().max() / folded.weight.abs().max())
    assert error < (0.01 if name == "LQ-Net" else 1e-6)
    assert found.bits <= getattr(WEIGHTS[name], "value_bits", WEIGHTS[name].width) + (name == "fixed point")
    assert (found.changed is None) == (name != "LQ-Net")


STATES = [None, Uniform(bits=4, low=-1.0, high=1.0), ThresholdCentered(bits=4), FixedPoint(integer=3, fraction=4)]
STATES += [FixedPoint(integer=8, fraction=8), ThresholdCentered(bits=4, range="sample"), ThresholdCentered(bits=4, range="frozen")]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("snapped", [None, "after_reset"])
def test_spikes_hardly_change(float_network: Network, state, snapped: str | None) -> None:
    network = quantize(float_network, Recipe(weights=Uniform(bits=4, low=-1.0, high=1.0), state=state, snapped=snapped), BATCHES)
    report = lower(network, BATCHES).report
    assert not report["exact"]
    for layer in report["layers"].values():
        assert layer["spikes_changed"] < 0.08  # few levels: what lies between two of them may take the other
        assert layer["emd"] < 0.02
    assert report["changed"][0] == "input: images become -127 to 127"
    given_up = state is None or state.width > 8 or state.scope is not None
    assert any(("16 bits" if given_up else "levels") in words for words in report["changed"])


def test_codebooks_hold_the_levels_in_steps_of_each_channel() -> None:
    network = build("digits")
    network.lif1.state = ThresholdCentered(bits=2)
    scale = torch.linspace(0.01, 0.02, 16, dtype=torch.float64)
    found = membranes(network, "lif1", scale)
    levels = ThresholdCentered(bits=2).levels()
    for channel in (0, 15):
        real = found.tensors["lif1.levels"][channel] * float(scale[channel]) / 2.0**found.shift
        assert np.allclose(real, levels.numpy(), atol=1e-3)
        leaked = found.tensors["lif1.leaked"][channel] * float(scale[channel]) / 2.0**found.shift
        assert np.allclose(leaked, levels.numpy() / 2, atol=1e-3)


def test_levels_that_merge_are_given_up() -> None:
    """A membrane that never moved has levels of 1e-24: no whole numbers tell them apart."""
    network = build("digits", lif={"threshold": 1e3})
    network.train()(BATCHES[0][0])
    silent = quantize(network.eval(), Recipe(state=Uniform(bits=6, symmetric=False)), BATCHES)
    silent.lif2.state.low.fill_(0.0)
    silent.lif2.state.high.fill_(1e-22)
    assert "lif2: state becomes 16 bits, its grid is given up" in lower(silent, BATCHES).report["changed"]


def test_a_simulation_without_luck_is_told(float_network: Network) -> None:
    network = quantize(float_network, Recipe(state=Uniform(bits=4, low=-1.0, high=1.0, rounding="truncate")), BATCHES)
    assert any("truncate becomes nearest" in words for words in lower(network, BATCHES).report["changed"])


def test_classes_need_one_scale(float_network: Network) -> None:
    network = quantize(float_network, Recipe(weights=LQNet(bits=2)), BATCHES)
    assert any(words.startswith("readout: weights become 8 bits (its classes") for words in lower(network, BATCHES).report["changed"])


def test_bounds_are_in_the_report(float_network: Network) -> None:
    found = lower(quantize(float_network, Recipe.integer(), BATCHES)).report
    assert found["exact"]
    assert found["accumulators"]["conv1"]["bits"] == 16
    assert found["changed"] == []


@pytest.mark.parametrize("neuron", [LIF(tau=2.0, rest=-0.2), LIF(decay=0.9, reset_timing="now_once")])
def test_other_neurons_are_refused(float_network: Network, neuron: LIF) -> None:
    network = build("digits")
    network.load_state_dict(float_network.state_dict())
    network.lif1 = neuron
    with pytest.raises(SpecError, match="lif1"):
        lower(network.eval(), BATCHES)


def test_untrained_norms_are_refused() -> None:
    with pytest.raises(SpecError, match="no data"):
        lower(build("digits"), BATCHES)


BASELINES = {
    "SpQuant": Recipe(weights=Uniform(bits=4, low=-1.0, high=1.0), state=SpQuant(), snapped="after_reset"),
    "SpQuant learned": Recipe(weights=ReScaW(bits=4), state=SpQuant(lowest=-1, learned=True), snapped="after_reset"),
    "MINT": Recipe(weights=LSQ(bits=4), state=MINT(bits=4), snapped="after_reset", batch_norm="folded"),
}


@pytest.mark.parametrize("name", BASELINES)
def test_membranes_of_baselines_become_codebooks(float_network: Network, name: str) -> None:
    network = quantize(float_network, BASELINES[name], BATCHES)
    report = lower(network, BATCHES).report
    assert "lif1: levels are rounded to whole numbers" in report["changed"]
    assert max(layer["spikes_changed"] for layer in report["layers"].values()) < 0.02


def trained_thresholds(start: float) -> Network:
    network = build("digits", lif={"neuron": "trained_threshold", "threshold": 0.8, "start": start})
    network.train()
    for x, _ in BATCHES * 5:
        network(x)
    return network.eval()


def test_a_trained_threshold_is_folded_into_the_weights_that_read_its_spikes() -> None:
    network = trained_thresholds(0.0)
    norm = network.norm2
    expected = 0.8 * norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert torch.allclose(fold(network, units(network, 1.0))["conv2"].gamma, expected.double())
    report = lower(network, BATCHES).report
    assert max(layer["spikes_changed"] for layer in report["layers"].values()) < 0.08
    exact = lower(quantize(network, Recipe.integer(weight_bits=6), BATCHES))
    assert exact.report["exact"]


def test_a_membrane_that_begins_with_a_share_of_its_threshold_is_refused() -> None:
    with pytest.raises(SpecError, match="start=0"):
        lower(trained_thresholds(0.5), BATCHES)


def test_layers_that_cannot_be_scaled_are_named(float_network: Network) -> None:
    dead = copy.deepcopy(float_network)
    dead.conv2.weight.data.zero_()
    with pytest.raises(SpecError, match=r"conv2: its largest weight is 0\.0 .* must be finite and above 0"):
        lower(dead, BATCHES)
    channel = copy.deepcopy(float_network)
    channel.conv2.weight.data[3] = 0
    with pytest.raises(SpecError, match=r"lif2: channel 3 fires at .*, channel \d+ at .* a state of 16 bits cannot hold both"):
        lower(quantize(channel, Recipe(weights=Binary()), BATCHES), BATCHES)
    with pytest.raises(SpecError, match="the calibration holds values that are not finite: its largest is nan"):
        lower(float_network, [(torch.full((1, 1, 8, 8), torch.nan), torch.zeros(1))])


@pytest.mark.parametrize("state", [None, FixedPoint(integer=2, fraction=2)])
def test_a_synaptic_current_becomes_whole_numbers(state: FixedPoint | None) -> None:
    torch.manual_seed(0)
    network = build("digits", lif={"neuron": "synaptic", "synapse": 0.5, "decay": 0.75}).train()
    for x, _ in BATCHES * 5:
        network(x)
    small = network.eval() if state is None else quantize(network.eval(), Recipe(state={"v": state}))
    program = lower(small, BATCHES)
    op = next(each for each in program.header.operations if each.name == "lif1")
    assert (op.synapse.bits, op.synapse.leak.multiplier / 2**op.synapse.leak.shift) == (20, 0.5)
    assert "lif1: synaptic current becomes 20 bits" in " ".join(program.report["changed"])
    found = program.check(small, BATCHES)
    assert all(layer.different < 0.03 * layer.spikes for layer in found.layers)


def test_levels_beyond_what_tables_hold_become_bits(float_network: Network) -> None:
    network = copy.deepcopy(float_network)
    network.conv1.weight.data *= 1e-3
    small = quantize(network, Recipe(state=Uniform(bits=4, low=-1.0, high=1.0)))
    program = lower(small, BATCHES)
    assert "lif1: state becomes 16 bits, its grid is given up" in program.report["changed"]
    assert next(each for each in program.header.operations if each.name == "lif2").levels == 16


def test_what_does_not_leak_has_no_leak_to_change() -> None:
    nodes = build("digits").wiring.model_dump_json().replace('"tau":2.0', '"decay":1.0')
    network = Network(Wiring.model_validate_json(nodes))
    network.train()(BATCHES[0][0])
    assert not [words for words in lower(network, BATCHES).report["changed"] if "leak" in words]
