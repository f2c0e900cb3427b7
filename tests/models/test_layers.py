import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models import Node
from spikequant.models.layers import BUILDERS, Convolution, Encode, Linear, SumPool, layer
from spikequant.models.wiring import KINDS
from spikequant.neurons import LIF
from spikequant.numerics import Surrogate


def node(kind: str, **args: object) -> Node:
    return Node(name="here", kind=kind, inputs=("input",) * KINDS.get(kind, 1), args=args)


def test_every_kind_has_its_builder() -> None:
    assert BUILDERS.keys() == KINDS.keys()


@pytest.mark.parametrize(
    ("built", "kind"),
    [
        (node("encode"), Encode),
        (node("conv2d", in_channels=1, out_channels=2, kernel_size=3), Convolution),
        (node("linear", in_features=2, out_features=3), Linear),
        (node("batch_norm", channels=3), nn.BatchNorm2d),
        (node("batch_norm", channels=3, space=1, eps=0.5), nn.BatchNorm1d),
        (node("max_pool", kernel_size=2), nn.MaxPool2d),
        (node("sum_pool", size=2), SumPool),
        (node("average_pool", output_size=1), nn.AdaptiveAvgPool2d),
        (node("flatten"), nn.Flatten),
        (node("dropout", p=0.25), nn.Dropout),
        (node("lif", decay=0.5), LIF),
        (node("add"), nn.Identity),
    ],
    ids=lambda value: value.kind if isinstance(value, Node) else "",
)
def test_builds(built: Node, kind: type) -> None:
    assert type(layer(built)) is kind


def test_arguments_arrive() -> None:
    norm, neuron = (
        layer(node("batch_norm", channels=3, eps=0.5)),
        layer(node("lif", tau=4.0, threshold=2.0, surrogate="triangle", slope=1.0)),
    )
    assert isinstance(norm, nn.BatchNorm2d)
    assert (norm.num_features, norm.eps) == (3, 0.5)
    assert isinstance(neuron, LIF)
    assert (neuron.dynamics.tau, neuron.threshold.item(), neuron.dynamics.surrogate) == (4.0, 2.0, Surrogate("triangle", 1.0))


def test_direct_encoding_is_one_step() -> None:
    x = torch.rand(2, 1, 3, 3)
    assert Encode()(x, 7).shape == (1, 2, 1, 3, 3)
    assert Encode()(x, 7)[0].equal(x)


def test_events_pass() -> None:
    x = torch.rand(5, 2, 3)
    assert Encode("events")(x, 7) is x


def test_rate_encoding_fires_with_the_probability_of_the_pixel() -> None:
    x = torch.tensor([0.0, 0.25, 1.0]).expand(2000, 3)
    spikes = Encode("rate")(x, 5)
    assert spikes.shape == (5, 2000, 3)
    assert ((spikes == 0) | (spikes == 1)).all()
    assert spikes.mean((0, 1)).tolist() == pytest.approx([0, 0.25, 1], abs=0.02)
    assert spikes[0].ne(spikes[1]).any()


def test_rate_encoding_repeats_itself() -> None:
    x = torch.full((2, 3, 8, 8), 0.5)
    encode, other, again = Encode("rate", seed=3), Encode("rate", seed=4).eval(), Encode("rate", seed=3).eval()
    first, second = encode(x, 4), encode(x, 4)
    assert not first.equal(second)
    evaluated = encode.eval()(x, 4)
    assert evaluated.equal(encode(x, 4))
    assert evaluated.equal(again(x, 4))
    assert not evaluated.equal(other(x, 4))
    assert not evaluated.equal(first)


def test_rate_encoding_resumes_from_its_state() -> None:
    x = torch.full((2, 64), 0.5)
    encode, resumed = Encode("rate"), Encode("rate")
    encode(x, 4)
    resumed.load_state_dict(encode.state_dict())
    assert resumed(x, 4).equal(encode(x, 4))


def test_sum_pool_adds() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert SumPool(2)(x).flatten().tolist() == [0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 8 + 9 + 12 + 13, 10 + 11 + 14 + 15]
    assert SumPool([1, 2], [4, 1])(x).flatten().tolist() == [0 + 1, 1 + 2, 2 + 3]


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (node("encode", encoding="poisson"), r"node 'here' \(encode\): encoding must be 'direct', 'rate' or 'events', got 'poisson'"),
        (node("linear", in_features=2), r"node 'here' \(linear\): .*missing 1 required positional argument: 'out_features'"),
        (node("linear", in_features=2, out_features=2, width=1), r"node 'here' \(linear\): .*unexpected keyword argument 'width'"),
        (node("linear", in_features=-2, out_features=2), r"node 'here' \(linear\): .*negative dimension"),
        (node("linear", in_features=10**14, out_features=10**5), r"node 'here' \(linear\): "),
        (
            node("conv2d", in_channels=3, out_channels=4, kernel_size=3, groups=2),
            r"node 'here' \(conv2d\): in_channels must be divisible by groups",
        ),
        (node("dropout", p=2.0), r"node 'here' \(dropout\): "),
        (node("linear", in_features=2, out_features=2, device="meta"), r"node 'here' \(linear\): a wiring names no device"),
        (node("lif"), r"node 'here' \(lif\): a LIF needs either decay or tau"),
        (node("lif", decay=0.5, reset="hard"), r"node 'here' \(lif\): unknown reset 'hard'"),
        (node("lif", decay=0.5, surrogate="arctn"), r"node 'here' \(lif\): unknown surrogate 'arctn': .*did you mean 'arctan'"),
        (node("lif", tau="2"), r"node 'here' \(lif\): "),
    ],
    ids=lambda value: f"{value.kind} {value.args}" if isinstance(value, Node) else "",
)
def test_refuses(built: Node, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        layer(built)
