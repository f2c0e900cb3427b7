import pytest
import torch

from spikequant.models import Node, Wiring, build, chain
from spikequant.models.fusing import Chain, chains
from spikequant.models.sew import sew_resnet8
from spikequant.numerics.kernels.native import library

NORM = ("norm", "batch_norm", {"channels": 1})
LIF = ("lif", "lif", {"decay": 0.9})
POOL = ("pool", "max_pool", {"kernel_size": 2})


def wiring(nodes: tuple[Node, ...]) -> Wiring:
    return Wiring(name="test", time=2, input_shape=(1, 4, 4), readout="mean", nodes=nodes)


def test_batch_norm_neuron_and_pool_are_found() -> None:
    assert chains(wiring(chain(NORM, LIF, POOL))) == {"norm": Chain("norm", "lif", "pool")}
    assert chains(wiring(chain(NORM, LIF, ("flat", "flatten", {})))) == {"norm": Chain("norm", "lif", None)}
    assert chains(wiring(chain(NORM, POOL, LIF))) == {}


def test_a_value_with_two_readers_ends_the_chain() -> None:
    nodes = (*chain(NORM, LIF, POOL), Node(name="again", kind="flatten", inputs=("lif",)))
    assert chains(wiring(nodes)) == {"norm": Chain("norm", "lif", None)}


def test_a_residual_sum_is_found_where_it_alone_reads_the_neuron() -> None:
    found = chains(sew_resnet8())
    assert found["block1_second_norm"] == Chain("block1_second_norm", "block1_second_lif", "block1_add", "stem_lif")
    assert found["block2_short_norm"].after is None
    short = found["block2_second_norm"].shortcut
    assert short == "block2_short_lif"


@pytest.mark.skipif(library() is None, reason="fusing is the C library's")
def test_residual_sums_fused_are_those_of_single_nodes() -> None:
    torch.manual_seed(0)
    network = build("sew-resnet8", width=8).eval()
    names = [name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for name in names:
        network.get_submodule(name).eps = 0.0  # type: ignore[assignment]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_((parameter * 192).round() / 64)
    x = torch.randint(0, 9, (2, 3, 32, 32)) / 2
    fused = {node.name: value for node, value in network.values(x, fuse=True)}
    single = {node.name: value for node, value in network.values(x)}
    sums = [name for name in fused if name.endswith("add")]
    assert len(sums) == 3
    assert "block1_second_lif" not in fused
    assert max(fused[name].max() for name in sums) > 1
    assert all(torch.equal(value, single[name]) for name, value in fused.items())


def test_fused_and_single_steps_give_the_same_spikes_where_every_sum_is_exact() -> None:
    torch.manual_seed(0)
    network = build("squat-fmnist", time=8, decay=0.875, threshold=1.0).eval()
    for norm in (network.get_submodule("norm1"), network.get_submodule("norm2")):
        norm.eps = 0.0  # with a running variance of 1, normalizing changes no bit
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_((parameter * 256).round() / 256)
    x = torch.randint(0, 9, (3, 1, 28, 28)) / 2
    fused = network.steps(x)
    network.chains = {}
    assert fused.sum() > 0
    assert torch.equal(fused, network.steps(x))
