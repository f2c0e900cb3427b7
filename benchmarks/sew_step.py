"""One training step of SEW-ResNet-8 with Adam, T = 4, ours in float and 4 bits, in either precision, beside SpikingJelly's in float.

Images are random, of CIFAR-10's shape; both networks start from the same weights, batch norm over time and batch in both.
"""

import copy
from typing import Any

import torch
from squat_step import step
from timing import Bench
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from spikequant.models import Network, build
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.outputs import step_outputs

BITS = 4
STATE = Uniform(bits=BITS, low=-1.0, high=1.2)
PEER = "SpikingJelly, float"


class Jelly(nn.Module):
    """The forward of SEW-ResNet's authors over SpikingJelly's multi-step neurons, on the layers of our network."""

    def __init__(self, jelly: Any, layers: Network) -> None:
        super().__init__()
        self.layers, self.time, self.blocks = layers, layers.wiring.time, len(layers.wiring.of_kind("add"))
        self.neurons = nn.ModuleDict({node.name: self._neuron(jelly) for node in layers.wiring.of_kind("lif")})

    @staticmethod
    def _neuron(jelly: Any) -> Any:
        curve = jelly.surrogate.ATan(alpha=2.0)
        return jelly.neuron.LIFNode(2.0, surrogate_function=curve, detach_reset=True, v_reset=0.0, step_mode="m")

    def _part(self, name: str, x: Tensor) -> Tensor:
        norm, conv = self.layers.get_submodule(f"{name}_norm"), self.layers.get_submodule(f"{name}_conv")
        spikes: Tensor = self.neurons[f"{name}_lif"](norm(conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]))
        return spikes

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, class]``."""
        for neuron in self.neurons.values():
            neuron.reset()  # type: ignore[operator]
        x = self._part("stem", x.expand(self.time, *x.shape))
        for place in range(1, self.blocks + 1):
            name = f"block{place}"
            shortcut = self._part(f"{name}_short", x) if hasattr(self.layers, f"{name}_short_conv") else x
            x = self._part(f"{name}_second", self._part(f"{name}_first", x)) + shortcut
        features = adaptive_avg_pool2d(x.flatten(0, 1), 1).flatten(1)
        logits: Tensor = self.layers.get_submodule("readout")(features).unflatten(0, x.shape[:2]).mean(0)
        return logits


def race(bench: Bench, model: str, aims: tuple[str, str]) -> None:
    """Time the steps of one network; ``aims`` are those in float32 and in bfloat16."""
    sizes = bench.options
    plain = build(model, width=sizes.width)
    recipes = {"ours, float": Recipe(), "ours, 4-bit": Recipe(weights=LQNet(bits=BITS), state=STATE)}
    models: dict[str, nn.Module] = {name: quantize(plain, recipe) for name, recipe in recipes.items()}
    if jelly := bench.peer("spikingjelly.activation_based", "neuron", "surrogate"):
        models[PEER] = Jelly(jelly, copy.deepcopy(plain))
    x, y = torch.rand(sizes.batch, 3, 32, 32), torch.arange(sizes.batch) % 10
    work = {name: step(each.train(), each, x, y) for name, each in models.items()}
    half = quantize(plain, recipes["ours, 4-bit"]).train()
    work["ours, 4-bit, bfloat16"] = step(half, lambda images: step_outputs(half, images, "bfloat16").mean(0), x, y)
    timed = bench.race(work, torch.empty(4, sizes.batch, sizes.width, 32, 32))
    title = f"{model.replace('sew-resnet', 'SEW-ResNet-')} step, batch {sizes.batch}"
    for own, aim in (("ours, 4-bit", aims[0]), ("ours, 4-bit, bfloat16", aims[1]), ("ours, float", "")):
        bench.compare(timed, (title, own, PEER), aim)
    bench.compare(timed, (title, "ours, 4-bit, bfloat16", "ours, 4-bit"))
    bench.compare(timed, ("LQ-Net weights and 4-bit states in it", "ours, 4-bit", "ours, float"), "0.9")


def main() -> None:
    """Run it."""
    bench = Bench("sew_step", __doc__, batch=128, width=64)
    race(bench, "sew-resnet8", ("3", "6, of the AMX tier"))
    bench.finish()


if __name__ == "__main__":
    main()
