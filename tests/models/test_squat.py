from spikequant.models.network import Network
from spikequant.models.squat import squat_fmnist


def test_squat_fmnist_is_16c5_mp2_64c5_mp2_1024_10() -> None:
    network = Network(squat_fmnist())
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if not name.startswith("norm")}
    assert sizes == {
        "conv1.weight": 1 * 16 * 25,
        "conv1.bias": 16,
        "conv2.weight": 16 * 64 * 25,
        "conv2.bias": 64,
        "linear.weight": 1024 * 10,
        "linear.bias": 10,
    }
    assert sum(parameter.numel() for parameter in network.parameters()) == 36_330 + 2 * (16 + 64)


def test_squat_fmnist_shapes() -> None:
    shapes = Network(squat_fmnist()).shapes()
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "flatten", "lif3")] == [
        (16, 24, 24),
        (16, 12, 12),
        (64, 8, 8),
        (64, 4, 4),
        (1024,),
        (10,),
    ]


def test_squat_fmnist_shows_25_steps_and_counts_spikes() -> None:
    wiring = squat_fmnist()
    assert (wiring.time, wiring.readout, wiring.input_shape, wiring.nodes[-1].kind) == (25, "count", (1, 28, 28), "lif")


def test_squat_fmnist_neurons_follow_snntorch() -> None:
    neuron = Network(squat_fmnist(decay=0.75, threshold=2.0, slope=3.0)).lif2
    dynamics = neuron.dynamics
    assert (dynamics.charge, dynamics.reset, dynamics.reset_timing, dynamics.compare) == ("scale", "subtract", "next", ">")
    assert (neuron.decay.item(), neuron.threshold.item(), dynamics.surrogate) == (0.75, 2.0, ("arctan", 3.0))


def test_squat_fmnist_options() -> None:
    wiring = squat_fmnist(classes=3, time=5)
    assert wiring.time == 5
    assert Network(wiring).shapes()["linear"] == (3,)
