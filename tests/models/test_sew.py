import math
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.models.network import Network
from spikequant.models.sew import initialize, sew_resnet, sew_resnet8, sew_resnet18
from spikequant.models.wiring import Wiring
from spikequant.numerics import Surrogate


def counts(wiring: Wiring) -> tuple[int, int, int]:
    """Weights of convolutions and readout, spiking layers, channels of those."""
    network = Network(wiring)
    shapes, layers = network.shapes(), [node.name for node in wiring.of_kind("lif")]
    weights = sum(parameter.numel() for name, parameter in network.named_parameters() if "norm" not in name)
    return weights, len(layers), sum(shapes[layer][0] for layer in layers)


@pytest.mark.parametrize(
    ("wiring", "expected"),
    [
        (sew_resnet8(), (1_224_906, 9, 1_344)),
        (sew_resnet8(width=16), (77_370, 9, 336)),
        (sew_resnet8(width=128), (4_891_018, 9, 2_688)),
        (sew_resnet8(classes=100), (1_224_906 + 90 * 257, 9, 1_344)),
        (sew_resnet18(), (11_164_362, 20, 4_800)),
        (sew_resnet((1, 1, 1, 1)), (4_897_482, 12, 2_880)),
        (sew_resnet(width=16), (270_906, 21, 784)),
    ],
)
def test_counts(wiring: Wiring, expected: tuple[int, int, int]) -> None:
    assert counts(wiring) == expected


def test_neurons_of_one_sample_of_the_narrow_net() -> None:
    network = Network(sew_resnet8(width=16))
    shapes = network.shapes()
    # 3 layers of 16x32x32, and the shortcut with both neurons of 32x16x16 and of 64x8x8
    assert sum(math.prod(shapes[node.name]) for node in network.wiring.of_kind("lif")) == 3 * 16 * 1024 + 3 * 32 * 256 + 3 * 64 * 64


def test_shapes_halve_where_channels_double() -> None:
    shapes = Network(sew_resnet18(width=8)).shapes()
    assert [shapes[f"block{place}_add"] for place in (1, 2, 3, 4, 5, 8)] == [
        (8, 32, 32),
        (8, 32, 32),
        (16, 16, 16),
        (16, 16, 16),
        (32, 8, 8),
        (64, 4, 4),
    ]
    assert shapes["flatten"] == (64,)


def test_only_changing_blocks_have_a_spiking_shortcut() -> None:
    nodes = {node.name: node for node in sew_resnet18().nodes}
    assert [name for name in nodes if name.endswith("short_lif")] == ["block3_short_lif", "block5_short_lif", "block7_short_lif"]
    assert nodes["block2_add"].inputs == ("block2_second_lif", "block1_add")
    assert nodes["block3_add"].inputs == ("block3_second_lif", "block3_short_lif")


def fed(network: Network, image: Tensor) -> dict[str, Tensor]:
    return {node.name: value.clone() for node, value in network.eval().values(image)}


def test_a_block_whose_paths_both_fire_gives_2() -> None:
    network = Network(sew_resnet8(width=2))
    for name, parameter in network.named_parameters():
        torch.nn.init.constant_(parameter, 8.0 if name.endswith("norm.bias") else 0.0)
    values = fed(network, torch.rand(1, 3, 32, 32))
    assert values["stem_lif"].unique().tolist() == [1.0]
    assert values["block1_add"].unique().tolist() == [2.0]
    assert values["block2_add"].unique().tolist() == [2.0]  # its shortcut spikes anew: the sum of before is gone


def test_sums_grow_along_identity_shortcuts() -> None:
    network = Network(sew_resnet((2,), width=2))
    for name, parameter in network.named_parameters():
        torch.nn.init.constant_(parameter, 8.0 if name.endswith("norm.bias") else 0.0)
    assert fed(network, torch.rand(1, 3, 32, 32))["block2_add"].unique().tolist() == [3.0]


def test_zero_weights_leave_every_neuron_silent() -> None:
    network = Network(sew_resnet8(width=2))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    assert not any(value.any() for value in fed(network, torch.rand(1, 3, 32, 32)).values() if value.shape[2:] != (3, 32, 32))


def test_the_current_of_the_stem_is_computed_once() -> None:
    network, seen = Network(sew_resnet8(width=2)), list[int]()
    network.stem_conv.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    network.block1_first_conv.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    network(torch.rand(3, 3, 32, 32))
    assert seen == [3, 12]


def test_neurons_follow_beyond_accuracy() -> None:
    dynamics = Network(sew_resnet8()).block1_first_lif.dynamics
    assert (dynamics.charge, dynamics.tau, float(dynamics.threshold), dynamics.compare) == ("relax_input", 2.0, 1.0, ">=")
    assert (dynamics.reset, dynamics.reset_value, dynamics.reset_timing, dynamics.detach_reset) == ("value", 0.0, "now", True)
    assert dynamics.surrogate == Surrogate("arctan", 2.0)


def test_neurons_take_other_arguments() -> None:
    dynamics = Network(sew_resnet8(lif={"surrogate": "sigmoid", "slope": 4.0})).stem_lif.dynamics
    assert (dynamics.surrogate, dynamics.tau) == (Surrogate("sigmoid", 4.0), 2.0)


@pytest.mark.parametrize("blocks", [(), (1, 0, 1)])
def test_refuses_what_has_no_block(blocks: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"blocks must be at least 1 .*nearest valid value: \(1,\)"):
        sew_resnet(blocks)


def test_initialize_draws_by_what_a_convolution_gives() -> None:
    network = build("sew-resnet8", width=32, seed=1)
    for name in ("stem_conv", "block2_first_conv", "block3_short_conv"):
        module: Any = getattr(network, name)
        expected = math.sqrt(2 / (module.out_channels * module.kernel_size[0] ** 2))
        assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.05)
        assert abs(float(module.weight.detach().mean())) < expected / 10
    before = network.readout.weight.clone()
    initialize(network)
    assert network.readout.weight.equal(before)
