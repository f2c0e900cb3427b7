"""adopt, beside doubles of the guests; the real ones are in ``tests/peers/test_adopt.py``."""

from collections import OrderedDict
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from spikequant.behavior import compare
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Unrolled, adopt, build
from spikequant.neurons import LIF


def net(foreign: ModuleType) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(16, 8), foreign.Leaky(0.5), nn.Identity(), nn.Linear(8, 4), foreign.IFNode()]
    made = nn.Sequential(*layers)
    for parameter in made.parameters():
        parameter.data = ((parameter + parameter.abs()) * 16).round() / 16
    return made


def test_same_spikes(foreign: ModuleType) -> None:
    guest, x = net(foreign), torch.randint(0, 5, (6, 1, 4, 4), generator=torch.Generator().manual_seed(0)) / 2.0
    own = adopt(guest, (1, 4, 4), time=9)
    drift = compare(Unrolled(guest, 9), own, [(x, torch.zeros(6))], resamples=3)
    assert [(layer.agreement, layer.mean_rate > 0.05) for layer in drift.layers] == [(1.0, True), (1.0, True)]
    assert own(x).equal(Unrolled(guest, 9)(x))
    assert adopt(guest, (1, 4, 4), time=9, readout="mean")(x).equal(own(x) / 9)


def test_events_in_either_mode(foreign: ModuleType) -> None:
    guest, x = net(foreign)[4:], torch.randint(0, 5, (9, 6, 8), generator=torch.Generator().manual_seed(0)) / 4.0
    own = adopt(guest, (8,), time=9, still=False)
    assert own(x).equal(Unrolled(guest)(x))
    guest[1].step_mode = "m"
    guest[1].reset()
    assert own.steps(x).equal(guest(x))


def test_the_wiring(foreign: ModuleType) -> None:
    wiring = adopt(net(foreign), [1, 4, 4], time=9).wiring
    assert [node.name for node in wiring.nodes] == ["encode", "layer_0", "layer_1", "layer_2", "layer_4", "layer_5"]
    assert wiring.nodes[4].inputs == ("layer_2",)  # what does nothing is passed by
    assert (wiring.name, wiring.time, wiring.input_shape) == ("sequential", 9, (1, 4, 4))


def test_a_constant_for_each_channel_of_a_map(foreign: ModuleType) -> None:
    def made(*shape: int) -> nn.Sequential:
        neurons = [foreign.Leaky([0.25, 0.5]), foreign.Leaky([0.25, 0.5])]
        neurons[0].beta = neurons[0].beta.reshape(shape)
        return nn.Sequential(nn.Conv2d(1, 2, 3), neurons[0], nn.Flatten(), nn.Linear(8, 2), neurons[1])

    decays = [node.args["decay"] for node in adopt(made(2, 1, 1), (1, 4, 4), time=2).wiring.of_kind("lif")]
    assert decays == [[0.25, 0.5], [0.25, 0.5]]
    with pytest.raises(SpecError, match=r"1 \(beta\) .* one for each channel has shape \(C, 1, 1\) here"):
        adopt(made(2), (1, 4, 4), time=2)


def test_names_that_torch_or_another_layer_has() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.Half, self.half_ = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.half_(self.Half(x))  # type: ignore[no-any-return]

    assert [node.name for node in adopt(Net(), (2,), time=1).wiring.nodes] == ["encode", "half_", "half__"]


def test_names_that_a_network_has_and_names_that_are_too_long() -> None:
    long = "a" * 64
    layers = OrderedDict((name, nn.Linear(2, 2)) for name in ("steps", "input", "lambda", "encode", long, f"{long}b", f"{long}c"))
    names = [node.name for node in adopt(nn.Sequential(layers), (2,), time=1).wiring.nodes]
    assert names == ["encode", "steps_", "input_", "lambda_", "encode_", long, f"{long[:63]}_", f"{long[:62]}__"]


def test_its_weights_are_its_own(foreign: ModuleType) -> None:
    guest = net(foreign)
    own = adopt(guest, (1, 4, 4), time=2)
    guest[1].weight.data.zero_()
    assert own.layer_1.weight.any()  # type: ignore[union-attr, operator]


def test_refuses(foreign: ModuleType) -> None:
    with pytest.raises(SpecError, match="adopt needs input_shape"):
        adopt(net(foreign), time=2)
    with pytest.raises(SpecError, match=r"adopt needs input_shape: .* such as \(1, 28, 28\); got 4"):
        adopt(net(foreign), 4, time=2)  # type: ignore[arg-type]
    for what in ("net.nir", nn.Linear):
        with pytest.raises(SpecError, match=r"adopt takes a torch module or a nir.NIRGraph, got .*; nir.read reads the graph of a file"):
            adopt(what, (2,), time=2)
    for ours in (build("digits"), nn.Sequential(nn.Linear(2, 2), LIF(decay=0.5))):
        with pytest.raises(SpecError, match="it is spikequant's own; write it as a node of a Wiring"):
            adopt(ours, (2,), time=2)
    with pytest.raises(SpecError, match="it holds no layer"):
        adopt(nn.Sequential(nn.Identity()), (2,), time=2)
    with pytest.raises(MismatchError, match=r"takes batches of shape \[batch, 1, 4, 4\]"):
        adopt(net(foreign), (1, 4, 4), time=2)(torch.zeros(2, 4, 4))
    with pytest.raises(MismatchError, match=r"node 'layer_1' \(linear\) cannot take \(25,\): .* cannot be multiplied"):
        adopt(net(foreign), (1, 5, 5), time=2)
