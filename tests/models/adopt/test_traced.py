"""A forward as a list of calls."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models.adopt.traced import GIVEN, calls


class Residual(nn.Module):
    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.first, self.neuron, self.second = nn.Linear(4, 4), neuron, nn.Sequential(nn.Linear(4, 4), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, start_dim=1)
        spikes = self.neuron(self.first(x))
        return torch.add(self.second(spikes), spikes)


def test_calls_in_order(foreign: ModuleType) -> None:
    found = calls(Residual(foreign.Leaky()))
    assert [call.name for call in found] == ["flatten", "first", "neuron", "second.0", "second.1", "add"]
    assert found[0].does == "flatten 1 -1"
    assert [call.inputs for call in found] == [(GIVEN,), ("flatten",), ("first",), ("neuron",), ("second.0",), ("second.1", "neuron")]


def test_the_first_of_a_tuple_is_the_spikes(foreign: ModuleType) -> None:
    class Handing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.fc = foreign.LIFCell(), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            spikes, _ = self.cell(x)
            return self.fc(spikes)  # type: ignore[no-any-return]

    assert [call.inputs for call in calls(Handing())] == [(GIVEN,), ("cell",)]


def test_a_chain_with_a_forward_of_its_own_is_followed() -> None:
    class Around(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + input  # type: ignore[no-any-return]

    assert [call.name for call in calls(nn.Sequential(Around(nn.Linear(2, 2)), nn.Linear(2, 2)))] == ["0.0", "add", "1"]


class Headed(nn.Module):
    """Two heads, of which a forward may return the one that it ran first."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize("both", [False, True])
def test_the_output_is_what_the_forward_returns_first(both: bool) -> None:
    def forward(self: Headed, x: Tensor) -> object:
        body = self.body(x)
        head, other = self.head(body), self.other(body)
        return (head, other) if both else head

    assert [call.name for call in calls(type("Net", (Headed,), {"forward": forward})())] == ["body", "head"]


def test_where_a_flatten_begins() -> None:
    net = type("Net", (Headed,), {"forward": lambda self, x: self.body(x.flatten())})()
    assert calls(net)[0].does == "flatten 0 -1"


def test_a_forward_that_reads_a_state_itself_is_told_to_give_one_step(foreign: ModuleType) -> None:
    def forward(self: Headed, x: Tensor) -> Tensor:
        return self.body(x + self.neuron.beta)  # type: ignore[no-any-return]

    net = type("Net", (Headed,), {"forward": forward})()
    net.neuron = foreign.Leaky()
    with pytest.raises(SpecError, match=r"neuron.beta \(tensor\) .*; give one step of the network, as with init_hidden=True"):
        calls(net)


def test_a_single_layer_is_a_network() -> None:
    assert [call.name for call in calls(nn.Linear(2, 2))] == ["Linear"]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda self, x: self.fc(self.fc(x)), r"fc \(Linear\) cannot be adopted: it is called more than once"),
        (lambda self, x: torch.relu(self.fc(x)), r"relu .* a wiring holds layers, plain additions and flattens only"),
        (lambda self, x: self.fc(x) if x.sum() > 0 else x, "cannot be traced"),
        (lambda self, x: torch.add(self.fc(x), x, alpha=2), r"add .* plain additions"),
        (lambda self, x: self.fc(x) + 1, "takes something else than the value of a layer"),
        (lambda self, x: {"logits": self.fc(x)}, "the output .* takes something else than the value of a layer"),
        (lambda self, x: [h := self.fc(x), h.add_(x)][0], "add_ .* it changes a value in place and is not read"),
        (lambda self, x: [self.fc(step) for step in x], "cannot be traced"),
    ],
)
def test_refuses(forward: object, reason: str) -> None:
    kind = type("Net", (nn.Module,), {"forward": forward})
    net = kind()
    net.fc = nn.Linear(2, 2)
    with pytest.raises(SpecError, match=reason):
        calls(net)
