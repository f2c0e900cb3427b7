import pytest

from spikequant.errors import MismatchError
from spikequant.models import Network, build
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, memory, quantize, traffic, widths

USED = {"conv1": 100.0, "conv2": 10.0, "readout": 1.0}
NEURONS = 4 * 64 + 8 * 16  # of the digits network at width 4


def test_float_traffic_by_hand(model: Network) -> None:
    moved = traffic(model, USED)
    assert moved.weight_bits == 111 * 32
    assert moved.state_bits == 2 * model.wiring.time * NEURONS * 32
    assert moved.total_bits == moved.weight_bits + moved.state_bits


def test_fewer_bits_move_fewer(model: Network) -> None:
    small = quantize(model, Recipe(weights=LQNet(bits=2), state=Uniform(bits=4, low=-1.0, high=1.0)))
    moved = traffic(small, USED)
    assert moved.weight_bits == 111 * 2
    assert moved.state_bits == 2 * model.wiring.time * NEURONS * 4
    assert widths(small)["lif1", "state"] == 4


@pytest.mark.parametrize("name", ["decolle", "stdp-net"])
def test_every_state_moves(name: str) -> None:
    """What adapts, decays or rests is read and written like a membrane."""
    network = build(name)
    held = memory(network)
    adaptive = held.threshold_bits if name == "stdp-net" else 0
    moved = traffic(network, {layer: 0.0 for layer, part in widths(network) if part == "weights"})
    assert moved.state_bits == 2 * network.wiring.time * (held.state_bits + adaptive)


def test_a_layer_without_a_count_is_named(model: Network) -> None:
    with pytest.raises(MismatchError, match="no count of operations for conv2, readout"):
        traffic(model, {"conv1": 1.0})
