"""Foreign layers without state, as nodes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models import Node
from spikequant.models.adopt.described import STATELESS, closed_over, constant, curve, flattening, stateless
from spikequant.models.layers import layer

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(4, 6, (3, 1), stride=2, padding=(1, 0), groups=2, bias=False), (2, 4, 7, 7)),
    (nn.Conv2d(4, 6, 3, padding="same", dilation=2), (2, 4, 7, 7)),
    (nn.Linear(5, 3, bias=False), (2, 5)),
    (nn.BatchNorm2d(4, eps=0.5, affine=False), (2, 4, 3, 3)),
    (nn.BatchNorm1d(4, momentum=0.5), (2, 4)),
    (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 4, 8, 8)),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 4, 8, 8)),
    (nn.AdaptiveAvgPool2d((2, 1)), (2, 4, 8, 8)),
    (nn.Flatten(), (2, 4, 3)),
]


@pytest.mark.parametrize(("module", "shape"), LAYERS, ids=lambda value: type(value).__name__)
def test_the_node_does_what_the_layer_does(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = stateless("here", module.eval(), sequence=False)
    assert found is not None
    own = layer(Node(name="own", kind=found.kind, inputs=("input",), args=found.args)).eval()
    own.load_state_dict(found.tensors)
    assert own(x).equal(module(x))


def test_every_kind_is_tried() -> None:
    assert {type(module) for module, _ in LAYERS} | {nn.Dropout, nn.Identity} == set(STATELESS)


def test_what_does_nothing_is_left_out() -> None:
    assert stateless("here", nn.Identity(), sequence=False) is None
    assert stateless("here", nn.Dropout(0.0), sequence=False) is None
    dropout = stateless("here", nn.Dropout(0.25), sequence=False)
    assert dropout is not None
    assert dropout.args == {"p": 0.25}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Softmax(1), r"here \(Softmax\) cannot be adopted: only AdaptiveAvgPool2d, .* and neurons can be"),
        (nn.Conv2d(1, 1, 3, padding_mode="reflect"), "its padding is 'reflect'"),
        (nn.Flatten(0), "it joins axes 0 to -1; all from 1 on"),
    ],
)
def test_refuses(module: nn.Module, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        stateless("here", module, sequence=False)


class Padded(nn.Conv2d):
    """Only made otherwise."""

    def __init__(self) -> None:
        super().__init__(1, 2, 3, padding=1)


class Doubling(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Centered(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean(), bias)


def test_what_computes_otherwise_than_its_kind_is_refused() -> None:
    assert stateless("here", Padded(), sequence=False) is not None
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    for module, reason in [
        (Doubling(2, 2), r"here \(Doubling\) .*: its forward is not that of Linear"),
        (Centered(1, 1, 3), "its _conv_forward is not that of Conv2d"),
        (normed, "its weights are computed from parametrizations.weight.original0, parametrizations.weight.original1; adopt the plain"),
    ]:
        with pytest.raises(SpecError, match=reason):
            stateless("here", module, sequence=False)


def test_a_sequence_keeps_time_and_batch() -> None:
    assert flattening("here", 2, -1, sequence=True).kind == "flatten"
    with pytest.raises(SpecError, match="all from 2 on"):
        flattening("here", 1, -1, sequence=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (torch.full((3, 4, 4), 0.5), 0.5),
        (torch.tensor([0.5, 1.0]), [0.5, 1.0]),
        (torch.tensor([[[0.5]], [[1.0]]]).expand(2, 3, 3), [0.5, 1.0]),
        (nn.Parameter(torch.tensor(0.5), requires_grad=False), 0.5),
    ],
)
def test_constants(value: Any, expected: object) -> None:
    assert constant("here", "threshold", value) == expected


def test_constants_without_equal_are_refused() -> None:
    with pytest.raises(SpecError, match="differs within a channel"):
        constant("here", "threshold", torch.tensor([[0.5, 1.0]]))
    with pytest.raises(SpecError, match="it is learned, ours is a constant"):
        constant("here", "beta", nn.Parameter(torch.tensor(0.5)))


def test_where_the_channels_of_a_constant_lie() -> None:
    """Guests spread a constant over the last axes of their samples: for maps, only shape (C, 1, 1) is one for each channel."""
    values = torch.tensor([0.5, 1.0])
    assert constant("here", "beta", values, axes=1) == constant("here", "beta", values.reshape(1, 2), axes=1) == [0.5, 1.0]
    assert (
        constant("here", "beta", values.reshape(2, 1, 1), axes=3)
        == constant("here", "beta", values.reshape(1, 2, 1, 1), axes=3)
        == [0.5, 1.0]
    )
    assert constant("here", "beta", torch.full((2,), 0.5), axes=3) == 0.5
    for shape in ((2,), (2, 1)):
        with pytest.raises(
            SpecError, match=rf"shape \({', '.join(map(str, shape))},?\), along the last axes .* has shape \(C, 1, 1\) here"
        ):
            constant("here", "beta", values.reshape(shape), axes=3)


def test_curves() -> None:
    assert curve("here", ("sigmoid", 4.0), None, "Sigmoid") == {"surrogate": "sigmoid", "slope": 4.0}
    assert curve("here", ("sigmoid", 4.0), "arctan", "Sigmoid") == {"surrogate": "sigmoid", "slope": 4.0}
    assert curve("here", None, "arctan", "Erf") == {"surrogate": "arctan"}
    with pytest.raises(SpecError, match="Erf has no equal here"):
        curve("here", None, None, "Erf")


def test_closed_over() -> None:
    slope = 3.0
    assert closed_over(lambda x: slope * x) == {"slope": 3.0}
    assert closed_over(torch.relu) == {}
