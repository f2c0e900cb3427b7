import pytest
import torch

from spikequant import models
from spikequant.errors import SpecError
from spikequant.models import build, names


def test_names() -> None:
    spiking = ["sew-resnet", "sew-resnet18", "sew-resnet8", "squat-dvs", "squat-fmnist", "squat-shd", "stdp-net"]
    assert names() == ["decolle", "digits", "resnet18", "resnet20", "resnet50", "resnet8", *spiking]


@pytest.mark.parametrize("name", names())
def test_builds_by_name(name: str) -> None:
    network = build(name)
    assert network.wiring.name == name
    assert network.recipe is None
    classes = {"decolle": 11, "squat-dvs": 11, "squat-shd": 20}.get(name, 10)
    axes = (3, 2) if network.takes_sequence else (2,)
    assert network(torch.rand(*axes, *network.wiring.input_shape)).shape == (2, classes)


@pytest.mark.parametrize("name", names())
def test_one_seed_one_network(name: str) -> None:
    first, again, other = build(name, seed=3), build(name, seed=3), build(name, seed=4)
    assert all(value.equal(again.state_dict()[key]) for key, value in first.state_dict().items())
    drawn, redrawn, default = (next(network.parameters()) for network in (first, other, build(name)))
    assert not drawn.equal(redrawn)
    assert default.equal(next(build(name, seed=0).parameters()))


def test_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    build("digits", seed=5)
    assert torch.get_rng_state().equal(before)
    torch.rand(3)
    assert build("digits", seed=5).conv1.weight.equal(build("digits", seed=5).conv1.weight)


def test_named_functions_take_options() -> None:
    assert models.digits(width=4).shapes()["conv1"] == (4, 8, 8)
    assert models.sew_resnet(blocks=(1,), width=8).shapes()["block1_add"] == (8, 32, 32)
    assert models.sew_resnet8(width=16, classes=100).shapes()["readout"] == (100,)
    assert models.sew_resnet18(time=2).wiring.time == 2
    assert models.decolle(channels=(2, 2, 2)).shapes()["pool3"] == (2, 8, 8)
    assert models.squat_fmnist(time=3).wiring.time == 3
    assert models.digits(seed=3).conv1.weight.equal(build("digits", seed=3).conv1.weight)


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(
        SpecError, match=r"unknown model 'digit': must be one of decolle, digits, resnet18, .*, stdp-net; did you mean 'digits'\?"
    ):
        build("digit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wdth": 3}, r"model 'digits': unknown option 'wdth': must be one of .*; did you mean 'width'\?"),
        ({"time": 0}, "time: must be .*got 0; nearest valid value: 1"),
        ({"width": -1}, "model 'digits', width: must be a whole number of at least 1, got -1; nearest valid value: 1"),
        ({"width": "4"}, "width: must be a whole number of at least 1, got '4'"),
        ({"classes": 2.5}, "classes: must be a whole number of at least 1, got 2.5"),
        ({"classes": 0}, "classes: must be .*got 0"),
        ({"lif": "tau"}, r"lif must hold arguments of the neurons, such as {'tau': 2.0}, got 'tau'"),
    ],
)
def test_refuses_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build("digits", **options)
