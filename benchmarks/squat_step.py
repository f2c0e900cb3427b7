"""One training step of SQUAT's Fashion-MNIST network (16C5-MP2-64C5-MP2-1024-10) with Adam.

Images are random, of Fashion-MNIST's shape: what is computed does not depend on what they show. Networks start from the same
weights; batch norm of the peers that loop over time is per step, ours over time and batch, as in SpikingJelly.
"""

from collections.abc import Callable
from typing import Any

import torch
from environment import tier
from timing import Bench
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spikequant.models import Network, build
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.outputs import step_outputs

DECAY, THRESHOLD, SLOPE, BITS = 0.5, 2.5, 2.0, 4
WEIGHTS = Uniform(bits=BITS, levels_at="zero", per_channel=True)
STATE = Uniform(bits=BITS, low=-THRESHOLD, high=1.2 * THRESHOLD)
RECIPES = {
    "ours, float": Recipe(),
    "ours, 4-bit": Recipe(weights=WEIGHTS, state=STATE),
    "ours, 4-bit LQ-Net": Recipe(weights=LQNet(bits=BITS), state=STATE),
    "ours, 4-bit state": Recipe(state=STATE),
}


class Stepped(nn.Module):
    """The network as snnTorch's users write it: a loop over time over all layers; with Brevitas, its layers quantize their weights."""

    def __init__(self, snntorch: Any, time: int, brevitas: Any = None) -> None:
        super().__init__()
        self.time = time
        conv, linear = (brevitas.nn.QuantConv2d, brevitas.nn.QuantLinear) if brevitas else (nn.Conv2d, nn.Linear)
        kind = {"weight_bit_width": BITS, "weight_quant": brevitas.quant.Int8WeightPerChannelFloat} if brevitas else {}
        limits = {"threshold": THRESHOLD, "lower_limit": 0.0, "upper_limit": 0.2}
        self.conv1, self.norm1 = conv(1, 16, 5, bias=True, **kind), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = conv(16, 64, 5, bias=True, **kind), nn.BatchNorm2d(64)
        self.linear = linear(1024, 10, bias=True, **kind)
        self.pool, self.leaky = nn.MaxPool2d(2), nn.ModuleList()
        for _ in range(3):
            state = snntorch.functional.quant.state_quant(BITS, **limits) if brevitas else False
            curve = snntorch.surrogate.atan(alpha=SLOPE)
            self.leaky.append(snntorch.Leaky(DECAY, THRESHOLD, spike_grad=curve, state_quant=state))

    def forward(self, x: Tensor) -> Tensor:
        """Spike counts."""
        first, second, third = (leaky.init_leaky() for leaky in self.leaky)  # type: ignore[operator]
        counts = torch.zeros(len(x), 10)
        for _ in range(self.time):
            spikes, first = self.leaky[0](self.norm1(self.conv1(x)), first)
            spikes, second = self.leaky[1](self.norm2(self.conv2(self.pool(spikes))), second)
            spikes, third = self.leaky[2](self.linear(self.pool(spikes).flatten(1)), third)
            counts = counts + spikes
        return counts


def spikingjelly_network(jelly: Any, time: int) -> nn.Module:
    """The network as SpikingJelly's users write it: multi-step layers in a row."""

    def node() -> Any:
        return jelly.neuron.LIFNode(2.0, False, THRESHOLD, None, jelly.surrogate.ATan(alpha=SLOPE), detach_reset=True, step_mode="m")

    layer = jelly.layer
    network = nn.Sequential(
        *(layer.Conv2d(1, 16, 5, step_mode="m"), layer.BatchNorm2d(16, step_mode="m"), node(), layer.MaxPool2d(2, step_mode="m")),
        *(layer.Conv2d(16, 64, 5, step_mode="m"), layer.BatchNorm2d(64, step_mode="m"), node(), layer.MaxPool2d(2, step_mode="m")),
        *(layer.Flatten(step_mode="m"), layer.Linear(1024, 10, step_mode="m"), node()),
    )

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            for module in network.modules():
                if isinstance(module, jelly.neuron.LIFNode):
                    module.reset()
            counts: Tensor = network(x.expand(time, *x.shape)).sum(0)
            return counts

    return Counted()


@torch.no_grad()
def same_values(peer: nn.Module, ours: Network) -> nn.Module:
    """The peer with our weights and running moments."""
    for theirs, own in zip(values(peer), values(ours), strict=True):
        theirs.copy_(own)
    return peer


def values(model: nn.Module) -> list[Tensor]:
    """What a network holds, in one order for all: convolutions, the linear layer, batch norms."""
    kinds = {nn.Conv2d: (), nn.Linear: (), nn.BatchNorm2d: ("running_mean", "running_var")}
    found = [(module, more) for kind, more in kinds.items() for module in model.modules() if isinstance(module, kind)]
    return [getattr(module, name) for module, more in found for name in ("weight", "bias", *more)]


def step(model: nn.Module, counts: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Callable[[], object]:
    """One training step with Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(counts(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return run


def in_bfloat16(model: Network) -> Callable[[Tensor], Tensor]:
    """Spike counts with layers in bfloat16."""
    return lambda x: step_outputs(model, x, "bfloat16").sum(0)


def peers(bench: Bench, ours: Network) -> dict[str, nn.Module]:
    """The peers' networks."""
    snntorch = bench.peer("snntorch", "functional.quant", "surrogate")
    brevitas = bench.peer("brevitas", "nn", "quant")
    jelly = bench.peer("spikingjelly.activation_based", "layer", "neuron", "surrogate")
    found: dict[str, nn.Module] = {}
    if snntorch:
        found["snnTorch, float"] = Stepped(snntorch, bench.options.time)
    if snntorch and brevitas:
        found["snnTorch + Brevitas, 4-bit"] = Stepped(snntorch, bench.options.time, brevitas)
    if jelly:
        found["SpikingJelly, float"] = spikingjelly_network(jelly, bench.options.time)
    return {name: same_values(network, ours) for name, network in found.items()}


def training(bench: Bench, ours: dict[str, Network], theirs: dict[str, nn.Module]) -> None:
    """The step in every form."""
    x, y = torch.rand(bench.options.batch, 1, 28, 28), torch.arange(bench.options.batch) % 10
    models: dict[str, nn.Module] = {**ours, **theirs}
    work = {name: step(model.train(), model, x, y) for name, model in models.items()}
    half = quantize(firing_network(bench.options.time), RECIPES["ours, 4-bit"]).train()
    work["ours, 4-bit, bfloat16"] = step(half, in_bfloat16(half), x, y)
    timed = bench.race(work, torch.empty(bench.options.time, bench.options.batch, 64, 8, 8))
    note = "" if tier() == "AMX" else "aim of the AMX tier"
    title = f"SQUAT step, batch {bench.options.batch}"
    for own, full, against in (("ours, 4-bit", "20, memory 10", "4"), ("ours, 4-bit, bfloat16", "60, memory 10", "9")):
        remark = note if "bfloat16" in own else ""
        bench.compare(timed, (title, own, "snnTorch + Brevitas, 4-bit"), full, remark)
        for peer in ("snnTorch, float", "SpikingJelly, float"):
            bench.compare(timed, (title, own, peer), against, remark)
    for peer in ("snnTorch, float", "SpikingJelly, float"):
        bench.compare(timed, (title, "ours, float", peer))
    bench.compare(timed, (f"{title}, LQ-Net weights", "ours, 4-bit LQ-Net", "ours, 4-bit state"), "0.91", "the peer has float weights")


@torch.no_grad()
def firing_network(time: int) -> Network:
    """The float network with a readout strong enough, and batch norms quick enough, that every layer fires untrained."""
    network = build("squat-fmnist", time=time)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.weight.mul_(10)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    return network


def main() -> None:
    """Run it."""
    bench = Bench("squat_step", __doc__, time=25, batch=128)
    plain = firing_network(bench.options.time)
    ours = {name: quantize(plain, recipe) for name, recipe in RECIPES.items()}
    theirs = peers(bench, plain)
    training(bench, ours, theirs)
    bench.finish()


if __name__ == "__main__":
    main()
