import pytest
import torch

from spikequant.errors import MismatchError, SpecError
from spikequant.models import Wiring, build
from spikequant.models.network import Network
from spikequant.models.wiring import chain
from spikequant.quantizers import ReScaW
from spikequant.recipes import Recipe, quantize
from spikequant.training import Pruning, channel_scores, prune
from spikequant.training.pruning import _highest

IMAGES = [(20 * torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 3]))]


def by_hand() -> Network:
    """Three channels of one step that see the image as it is, its first row, and nothing; then sums to two classes."""
    nodes = chain(
        ("encode", "encode", {"encoding": "direct"}),
        ("conv", "conv2d", {"in_channels": 3, "out_channels": 3, "kernel_size": 1, "groups": 1, "bias": False}),
        ("lif", "lif", {"decay": 0.5, "threshold": 1.0}),
        ("flatten", "flatten", {}),
        ("readout", "linear", {"in_features": 12, "out_features": 2, "bias": False}),
    )
    network = Network(Wiring(name="by-hand", time=1, input_shape=(3, 2, 2), readout="mean", nodes=nodes))
    with torch.no_grad():
        network.conv.weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))
        network.readout.weight.copy_(torch.tensor([[1.0] * 4 + [0.0] * 4 + [2.0] * 4, [0.0] * 12]))
    return network


SHOWN = [(torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]), torch.tensor([1]))]


def test_channels_of_an_integer_network_are_scored() -> None:
    network, shown = build("digits", width=4), [(torch.rand(4, 1, 8, 8), torch.arange(4))]
    assert prune(network, shown, Pruning(share=0.5), Recipe.integer()).conv1.out_channels == 2


def test_the_rank_of_what_a_channel_fires() -> None:
    assert channel_scores(by_hand(), SHOWN, Pruning(share=0.5))["lif"].tolist() == [2, 1, 0]


def test_fishers_information_of_a_channel() -> None:
    found = channel_scores(by_hand(), SHOWN, Pruning(share=0.5, score="fisher"))["lif"].tolist()
    # logits (2, 0), class 1: dL/dlogit = (p, -p), p = 1 / (1 + exp(-2)); two spikes of the first channel weigh 1 each
    p = 1 / (1 + torch.tensor(-2.0).exp().item())
    assert found == pytest.approx([(2 * p) ** 2, 0.0, 0.0], rel=1e-6)


@pytest.mark.parametrize("readout", ["count", "votes"])
def test_fishers_loss_is_that_of_the_mean_output_whatever_the_readout(readout: str) -> None:
    network, fisher = build("digits", width=4), Pruning(share=0.5, score="fisher")
    other = Network(network.wiring.model_copy(update={"readout": readout}))
    other.load_state_dict(network.state_dict())
    scores, others = (channel_scores(each, IMAGES, fisher) for each in (network, other))
    assert all(torch.equal(scores[name], others[name]) for name in scores)


def test_scoring_leaves_every_mode_as_it_was() -> None:
    network = build("digits", width=4).train()
    network.norm1.eval()
    channel_scores(network, IMAGES, Pruning(share=0.5))
    assert (network.norm1.training, network.norm2.training) == (False, True)


def test_the_lowest_channels_are_gone_and_the_rest_is_as_it_was() -> None:
    model = build("digits", width=4)
    scores = channel_scores(model, IMAGES, Pruning(share=0.5))
    assert scores["lif1"].unique().numel() > 1
    smaller = prune(model, IMAGES, Pruning(share=0.5))
    kept = scores["lif1"].sort(descending=True, stable=True).indices[:2].sort().values
    assert torch.equal(smaller.conv1.weight, model.conv1.weight[kept])
    assert (smaller.conv2.out_channels, smaller.readout.in_features) == (4, 16)
    assert smaller.recipe is None
    assert model.conv1.out_channels == 4


@pytest.mark.parametrize(("channels", "share", "stay"), [(10, 0.7, 3), (100, 0.7, 30), (10, 0.25, 8), (10, 0.1, 9), (2, 0.99, 1)])
def test_a_round_share_takes_a_round_number(channels: int, share: float, stay: int) -> None:
    assert len(_highest(torch.arange(float(channels)), share)) == stay


def test_scores_are_those_of_the_quantized_network() -> None:
    model, recipe, fisher = build("digits", width=4), Recipe(weights=ReScaW(bits=1)), Pruning(share=0.5, score="fisher")
    alone, quantized = (channel_scores(each, IMAGES, fisher) for each in (model, quantize(model, recipe)))
    assert any(not torch.equal(alone[name], quantized[name]) for name in alone)
    kept = quantized["lif1"].sort(descending=True, stable=True).indices[:2].sort().values
    assert torch.equal(prune(model, IMAGES, fisher, recipe).conv1.weight, model.conv1.weight[kept])


def test_what_cannot_be_pruned_is_refused() -> None:
    with pytest.raises(SpecError, match="takes the float network"):
        prune(quantize(build("digits"), Recipe(weights=ReScaW(bits=1))), IMAGES, Pruning(share=0.5))
    with pytest.raises(SpecError, match="no batch"):
        prune(build("digits"), [], Pruning(share=0.5))
    with pytest.raises(MismatchError, match="target 12 is none of the model's 10 classes"):
        channel_scores(build("digits"), [(IMAGES[0][0][:1], torch.tensor([12]))], Pruning(share=0.5, score="fisher"))
    with pytest.raises(SpecError, match=r"Pruning\.share"):
        Pruning(share=1.0)
