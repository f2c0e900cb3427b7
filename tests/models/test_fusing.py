import torch

from spikequant.models import Node, Wiring, build, chain
from spikequant.models.fusing import Chain, chains

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
