from spikequant.models.network import Network
from spikequant.models.small import digits


def test_digits_is_two_convolutions_and_a_readout() -> None:
    network = Network(digits())
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    assert sizes == {
        "conv1.weight": 1 * 16 * 9,
        "norm1.weight": 16,
        "norm1.bias": 16,
        "conv2.weight": 16 * 32 * 9,
        "norm2.weight": 32,
        "norm2.bias": 32,
        "readout.weight": 128 * 10,
        "readout.bias": 10,
    }
    assert sum(sizes.values()) == 6138


def test_digits_shapes() -> None:
    assert Network(digits()).shapes() == {
        "encode": (1, 8, 8),
        "conv1": (16, 8, 8),
        "norm1": (16, 8, 8),
        "lif1": (16, 8, 8),
        "pool1": (16, 4, 4),
        "conv2": (32, 4, 4),
        "norm2": (32, 4, 4),
        "lif2": (32, 4, 4),
        "pool2": (32, 2, 2),
        "flatten": (128,),
        "readout": (10,),
    }


def test_digits_neurons_follow_beyond_accuracy() -> None:
    network = Network(digits())
    dynamics = network.lif1.dynamics
    assert (dynamics.charge, dynamics.tau, dynamics.reset, dynamics.reset_value) == ("relax_input", 2.0, "value", 0.0)
    assert (dynamics.compare, dynamics.reset_timing, network.lif2.threshold.item()) == (">=", "now", 1.0)


def test_digits_options() -> None:
    wiring = digits(classes=3, width=4, time=7)
    assert (wiring.time, wiring.readout) == (7, "mean")
    assert Network(wiring).shapes()["readout"] == (3,)
    assert Network(wiring).shapes()["conv2"] == (8, 4, 4)
