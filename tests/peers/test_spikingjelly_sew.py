"""SEW-ResNet beside one built from SpikingJelly's neurons: bit for bit."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikequant.models import Network, build

TIME = 4
WIDTHS = {"sew-resnet8": 8, "sew-resnet18": 4}


@pytest.fixture(params=sorted(WIDTHS))
def network(request: pytest.FixtureRequest) -> Network:
    return build(request.param, width=WIDTHS[request.param], seed=2)


@pytest.fixture
def image() -> Tensor:
    """Pixels on a grid of 1/16."""
    return torch.randint(0, 17, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)) / 16


def fire(spikingjelly: ModuleType, current: Tensor) -> Tensor:
    from spikingjelly.activation_based import surrogate

    node = spikingjelly.LIFNode(
        tau=2.0, v_threshold=1.0, v_reset=0.0, surrogate_function=surrogate.ATan(2.0), detach_reset=True, step_mode="m"
    )
    return node(current)


class Reference:
    """The forward of SEW-ResNet's authors, written out for T steps, on the weights of our network."""

    def __init__(self, spikingjelly: ModuleType, network: Network) -> None:
        self.spikingjelly, self.network = spikingjelly, network

    def part(self, name: str, x: Tensor) -> Tensor:
        conv, norm = self.network.get_submodule(f"{name}_conv"), self.network.get_submodule(f"{name}_norm")
        folded = norm(conv(x.flatten(0, 1)))
        return fire(self.spikingjelly, folded.unflatten(0, x.shape[:2]))

    def block(self, place: int, x: Tensor) -> Tensor:
        out = self.part(f"block{place}_second", self.part(f"block{place}_first", x))
        shortcut = self.part(f"block{place}_short", x) if hasattr(self.network, f"block{place}_short_conv") else x
        return out + shortcut

    def logits(self, image: Tensor) -> Tensor:
        x = self.part("stem", image.unsqueeze(0).repeat(TIME, 1, 1, 1, 1))
        for place in range(1, len(self.network.wiring.of_kind("add")) + 1):
            x = self.block(place, x)
        pooled = functional.adaptive_avg_pool2d(x.flatten(0, 1), 1).flatten(1).unflatten(0, x.shape[:2])
        return torch.stack([self.network.readout(step) for step in pooled]).mean(0)


def coarse(network: Network) -> None:
    """Weights and statistics for which every sum is exact: multiples of 1/16, and batch norm's inverse deviation exactly 1."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(1 - module.eps)
            assert torch.rsqrt(module.running_var + module.eps).unique().tolist() == [1.0]
            module.weight.data.copy_(torch.randint(8, 25, module.weight.shape, generator=generator) / 16)
            module.bias.data.copy_(torch.randint(12, 33, module.bias.shape, generator=generator) / 16)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.copy_(torch.randint(-6, 7, module.weight.shape, generator=generator) / 16)
            if module.bias is not None:
                module.bias.data.zero_()


def layers(network: Network, image: Tensor) -> Iterator[tuple[Any, list[Tensor], Tensor]]:
    held = {"input": image}
    for node, value in network.values(image):
        yield node, [held[source] for source in node.inputs], value
        held[node.name] = value


def test_the_whole_network_on_a_coarse_grid(spikingjelly: ModuleType, network: Network, image: Tensor) -> None:
    coarse(network)
    network.eval()
    with torch.no_grad():
        ours, theirs = network(image), Reference(spikingjelly, network).logits(image)
        rates = [float(value.mean()) for node, value in network.values(image) if node.kind == "lif"]
    assert ours.equal(theirs)
    assert min(rates) > 0.02
    assert max(rates) < 0.98


@pytest.mark.parametrize("training", [False, True])
def test_every_neuron_and_sum_on_real_weights_and_shared_inputs(
    spikingjelly: ModuleType, network: Network, image: Tensor, training: bool
) -> None:
    rates = list[float]()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(image)  # so that evaluation knows the moments, and neurons fire there too
        network.train(training)
        for node, inputs, value in layers(network, image):
            if node.kind == "lif":
                current = inputs[0].expand(TIME, *inputs[0].shape[1:])
                assert value.equal(fire(spikingjelly, current)), node.name
                rates.append(float(value.mean()))
            if node.kind == "add":
                assert value.equal(inputs[0] + inputs[1]), node.name
    assert min(rates) > 0.02


def test_gradients_of_all_parameters(spikingjelly: ModuleType, image: Tensor) -> None:
    network = build("sew-resnet8", width=8, seed=2).train()
    reference = Reference(spikingjelly, network)
    gradients = []
    for logits in (lambda: network(image), lambda: reference.logits(image)):
        network.zero_grad()
        logits().square().sum().backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in network.named_parameters()})
    for name, ours in gradients[0].items():
        torch.testing.assert_close(ours, gradients[1][name], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    assert gradients[0]["stem_conv.weight"].abs().max() > 1e-4
