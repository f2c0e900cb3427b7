"""A network run from its wiring: one forward for all."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.models.layers import Encode, layer
from spikequant.models.wiring import INPUT, Node, Wiring
from spikequant.neurons import LIF
from spikequant.quantizers import Spec


class Network(nn.Module):
    """The modules of a wiring, each under its node's name, and the forward that follows it.

    Stateless nodes run once on time folded into batch; nodes that only see a still image run once, not ``time`` times.
    ``recipe`` is what ``spikequant.quantize`` applied, None for a float network.

    Shapes: a still image ``[batch, channel, height, width]`` (or ``[batch, feature]``), or events ``[time, batch, ...]``;
    ``steps`` gives ``[time, batch, class]``, calling the network gives logits ``[batch, class]``.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self.wiring = wiring
        self.recipe: Spec | None = None
        for node in wiring.nodes:
            if hasattr(self, node.name):
                raise SpecError(f"node {node.name!r}: the name belongs to torch's modules; choose another")
            self.add_module(node.name, layer(node))
        self.last_use = {source: node.name for node in wiring.nodes for source in node.inputs}

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, class]``."""
        outputs = self.steps(x)
        return outputs.sum(0) if self.wiring.readout == "count" else outputs.mean(0)

    def steps(self, x: Tensor) -> Tensor:
        """The output of every time step, ``[time, batch, class]``."""
        output = x
        for _, output in self.values(x):
            pass
        return output

    def values(self, x: Tensor) -> Iterator[tuple[Node, Tensor]]:
        """Every node with its value ``[time, batch, ...]``, time 1 where all steps are alike; each is dropped after its last use."""
        self._check(x)
        held, still = {INPUT: x}, set[str]()
        for node in self.wiring.nodes:
            inputs = [held[source] for source in node.inputs]
            constant = self._is_still(node) if node.kind == "encode" else still.issuperset(node.inputs) and node.kind != "lif"
            value = self._value(node, inputs, all(source in still for source in node.inputs))
            if constant:
                still.add(node.name)
            held[node.name] = value
            yield node, value
            for source in node.inputs:
                if self.last_use[source] == node.name:
                    held.pop(source, None)

    def _is_still(self, node: Node) -> bool:
        encode = self.get_submodule(node.name)
        return isinstance(encode, Encode) and encode.encoding == "direct"

    def _value(self, node: Node, inputs: list[Tensor], still: bool) -> Tensor:
        module = self.get_submodule(node.name)
        if isinstance(module, Encode):
            sequence: Tensor = module(inputs[0], self.wiring.time)
            return sequence
        if isinstance(module, LIF):
            current = inputs[0].expand(self.wiring.time, *inputs[0].shape[1:]) if still else inputs[0]
            spikes: Tensor = module(current)
            return spikes
        if node.kind == "add":
            return inputs[0] + inputs[1]
        value: Tensor = module(inputs[0].flatten(0, 1))
        return value.reshape(*inputs[0].shape[:2], *value.shape[1:])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample of every node's value, without time and batch."""
        training = self.training
        device = next(iter(self.parameters())).device
        events = any(node.args.get("encoding") == "events" for node in self.wiring.of_kind("encode"))
        blank = torch.zeros(*((1, 1) if events else (1,)), *self.wiring.input_shape, device=device)
        try:
            with torch.no_grad():
                return {node.name: tuple(value.shape[2:]) for node, value in self.eval().values(blank)}
        finally:
            self.train(training)

    def _check(self, x: Tensor) -> None:
        expected = self.wiring.input_shape
        if tuple(x.shape[-len(expected) :]) != expected:
            raise MismatchError(f"{self.wiring.name} takes samples of shape {expected}, got a batch of shape {tuple(x.shape)}")
