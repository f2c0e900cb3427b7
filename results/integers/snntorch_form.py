"""A network of ours as snnTorch's users write it: the same layers with the same values, ``Leaky`` neurons, a loop over time over all."""

from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from spikequant.models import Network
from spikequant.models.wiring import INPUT, Node


class Looped(nn.Module):
    """The loop; images are shown as they are in every step.

    Shapes: images ``[batch, channel, height, width]``; logits ``[batch, class]``, summed over time.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.nodes, self.time = [node for node in network.wiring.nodes if node.kind != "encode"], network.wiring.time
        self.start = next(node.name for node in network.wiring.nodes if node.kind == "encode")
        own = network.get_submodule
        self.parts = nn.ModuleDict({node.name: leaky(node) if node.kind == "lif" else own(node.name) for node in self.nodes})

    def forward(self, x: Tensor) -> Tensor:
        """Sums over time of what the last node gives."""
        membranes = {node.name: self.parts[node.name].init_leaky() for node in self.nodes if node.kind == "lif"}  # type: ignore[operator]
        total: Any = 0
        for _ in range(self.time):
            values = {INPUT: x, self.start: x}
            for node in self.nodes:
                inputs = [values[source] for source in node.inputs]
                if node.kind == "lif":
                    values[node.name], membranes[node.name] = self.parts[node.name](inputs[0], membranes[node.name])
                else:
                    values[node.name] = inputs[0] + inputs[1] if node.kind == "add" else self.parts[node.name](inputs[0])
            total = total + values[self.nodes[-1].name]
        return torch.as_tensor(total)


def leaky(node: Node) -> nn.Module:
    """The neuron of a node; where ours relaxes, ``v += (x - v) / tau``, this holds ``tau v`` against ``tau`` times the threshold."""
    args = dict(node.args)
    tau = args.get("tau")
    beta, threshold = (args["decay"], args["threshold"]) if tau is None else (1 - 1 / tau, tau * args["threshold"])
    reset = {"subtract": "subtract", "value": "zero"}[str(args.get("reset", "subtract"))]
    made: nn.Module = snntorch.Leaky(beta, threshold, reset_mechanism=reset, reset_delay=args.get("reset_timing") == "next")
    return made
