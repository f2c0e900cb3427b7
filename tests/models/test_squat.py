import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models.network import Network
from spikequant.models.squat import squat_dvs, squat_fmnist, squat_shd
from spikequant.numerics import Surrogate


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
    assert (neuron.decay.item(), neuron.threshold.item(), dynamics.surrogate) == (0.75, 2.0, Surrogate("arctan", 3.0))


def test_squat_fmnist_options() -> None:
    wiring = squat_fmnist(classes=3, time=5)
    assert wiring.time == 5
    assert Network(wiring).shapes()["linear"] == (3,)


def test_squat_dvs_has_8800_weights_at_its_end() -> None:
    network = Network(squat_dvs())
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if name.endswith("weight") and "norm" not in name}
    assert sizes == {"conv1.weight": 2 * 16 * 25, "conv2.weight": 16 * 32 * 25, "linear.weight": 8800}
    shapes = network.shapes()
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2")] == [
        (16, 28, 28),
        (16, 14, 14),
        (32, 10, 10),
        (32, 5, 5),
    ]


def test_squat_dvs_takes_n_mnist_too() -> None:
    network = Network(squat_dvs(classes=10, size=34)).eval()
    assert network.wiring.input_shape == (2, 34, 34)
    assert network.linear.weight.numel() == 8000


def test_squat_shd_is_700_1000_20_with_norms() -> None:
    network = Network(squat_shd())
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    assert sizes["linear1.weight"] == 700_000
    assert sizes["linear2.weight"] == 20_000
    assert (sizes["norm1.weight"], sizes["norm2.weight"]) == (1000, 20)
    assert [node.kind for node in network.wiring.nodes] == [
        "encode",
        "linear",
        "batch_norm",
        "lif",
        "dropout",
        "linear",
        "batch_norm",
        "lif",
    ]


@pytest.mark.parametrize("wiring", [squat_dvs(), squat_shd(hidden=30)], ids=["dvs", "shd"])
def test_event_networks_train_on_any_number_of_steps_and_count_spikes(wiring) -> None:
    network = Network(wiring)
    events = torch.poisson(torch.full((7, 4, *wiring.input_shape), 0.5), generator=torch.Generator().manual_seed(0))
    logits = network(events)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert torch.equal(logits, logits.round())
    assert 0 <= logits.detach().min() <= logits.detach().max() <= 7
    assert network.eval()(events[:3]).shape == logits.shape


def test_refuses_an_image_of_which_nothing_is_left() -> None:
    assert squat_dvs(size=16).of_kind("linear")[0].args["in_features"] == 32
    with pytest.raises(SpecError, match="size must be at least 16 pixels, of which the convolutions leave 1, got 15"):
        squat_dvs(size=15)
