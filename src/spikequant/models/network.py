"""A network run from its wiring: one forward for all."""

from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikequant.errors import MismatchError, SpecError
from spikequant.models.fusing import Chain, chains, fused
from spikequant.models.layers import Encode, layer
from spikequant.models.wiring import INPUT, SCANS, Node, Wiring
from spikequant.neurons import LIF, Traces
from spikequant.neurons.showing import watching
from spikequant.quantizers import Spec

WEIGHING = ("conv2d", "linear")
NOTHING: Mapping[str, Tensor] = {}


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
        self.through: Callable[[Tensor], Tensor] | None = None  # what evaluates in its place, if anything: ``Prefixes``
        self.chains = chains(wiring)
        self.last_use = {source: node.name for node in wiring.nodes for source in node.inputs}
        self.takes_sequence = any(INPUT in node.inputs and not _shows_still(node) for node in wiring.nodes)
        for node in wiring.nodes:
            if hasattr(self, node.name):
                raise SpecError(f"node {node.name!r}: a network has something else of that name; choose another")
            self.add_module(node.name, layer(node))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, class]``."""
        outputs = self.steps(x)
        if self.wiring.readout == "votes":
            return functional.one_hot(outputs.argmax(-1), outputs.shape[-1]).sum(0).to(outputs.dtype)
        return outputs.sum(0) if self.wiring.readout == "count" else outputs.mean(0)

    def steps(self, x: Tensor) -> Tensor:
        """The output of every time step, ``[time, batch, class]``."""
        if self.through is not None and not self.training and not torch.is_grad_enabled():
            return self.through(x)
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        """As ``steps``, computing every node."""
        for _, value in self.values(x, fuse=True):
            output = value
        return output

    def needed(self, known: Collection[str], wanted: Collection[str] = ()) -> set[str]:
        """The nodes that must run for the output and the ``wanted`` ones where the values of ``known`` ones are at hand."""
        last = self.wiring.nodes[-1].name
        needed = {*wanted, *([] if last in known else [last])}
        for node in reversed(self.wiring.nodes):
            if node.name in needed:
                needed.update(source for source in node.inputs if source not in known and source != INPUT)
        return needed

    def values(
        self, x: Tensor, fuse: bool = False, known: Mapping[str, Tensor] = NOTHING, needed: Collection[str] | None = None
    ) -> Iterator[tuple[Node, Tensor]]:
        """Every node with its value ``[time, batch, ...]``, time 1 where all steps are alike; each is dropped after its last use.

        With ``fuse``, batch norm, neuron and max pool or sum in a row may run as one, and only the last of them is yielded.
        With ``needed``, only those run; ``known`` values stand for the others that they, or the caller, ask for.
        """
        self._check(x)
        held, still = {INPUT: x}, set[str]()
        nodes = iter(self.wiring.nodes)
        for node in nodes:
            steps = self.wiring.time if still.issuperset(node.inputs) else None
            if needed is not None and node.name not in needed:
                if self._stands(node, steps):
                    still.add(node.name)
                if node.name in known:
                    held[node.name] = known[node.name]
                    yield node, known[node.name]
                continue
            inputs = [held[source] for source in node.inputs]
            chain = self._chain(node, needed) if fuse else None
            shortcut = chain and chain.shortcut
            value = None if chain is None else fused(self, chain, inputs[0], held[shortcut] if shortcut else None, steps)
            if chain is not None and value is not None:
                sources = (*node.inputs, *([shortcut] if shortcut else []))
                while node.name != chain.last:
                    node = next(nodes)
            else:
                sources, value = node.inputs, self._value(node, inputs, steps)
                if self._stands(node, steps):
                    still.add(node.name)
            held[node.name] = value
            yield node, value
            for source in sources:
                if self.last_use[source] in (node.name, chain and chain.norm):
                    held.pop(source, None)

    def _chain(self, node: Node, needed: Collection[str] | None) -> Chain | None:
        chain = self.chains.get(node.name)
        return None if chain is not None and needed is not None and chain.last not in needed else chain

    def _stands(self, node: Node, steps: int | None) -> bool:
        """Whether one time step of a node stands for all: a still image, or what only follows from one without neurons."""
        encode = self.get_submodule(node.name)
        if isinstance(encode, Encode):
            return encode.encoding == "direct"
        return steps is not None and node.kind not in SCANS

    def _value(self, node: Node, inputs: list[Tensor], steps: int | None) -> Tensor:
        module = self.get_submodule(node.name)
        if isinstance(module, Encode):
            sequence: Tensor = module(inputs[0], self.wiring.time)
            return sequence
        if isinstance(module, LIF | Traces):
            spikes: Tensor = module(inputs[0], steps)
            return spikes
        if node.kind == "add":
            return inputs[0] + inputs[1]
        folded = inputs[0].flatten(0, 1)
        if node.kind in WEIGHING and not folded.is_floating_point():
            raise MismatchError(f"node {node.name!r} ({node.kind}) takes fractions, got {folded.dtype}; give images as floats: x / 255")
        if node.kind == "conv2d":
            # Channels last is what the fused kernels read, and oneDNN's faster layout.
            folded = folded.contiguous(memory_format=torch.channels_last)
        value: Tensor = module(folded)
        return value.reshape(*inputs[0].shape[:2], *value.shape[1:])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample of every node's value, without time and batch.

        Raises:
            MismatchError: a node cannot take what its input gives.
        """
        found = dict[str, tuple[int, ...]]()
        like = next((tensor for tensor in self.state_dict().values() if tensor.is_floating_point()), torch.empty(0))
        blank = like.new_zeros(*((1, 1) if self.takes_sequence else (1,)), *self.wiring.input_shape)
        try:
            with watching(self):
                for node, value in self.values(blank):
                    found[node.name] = tuple(value.shape[2:])
        except (RuntimeError, ValueError) as error:
            node = self.wiring.nodes[len(found)]
            taken = [found.get(source, self.wiring.input_shape) for source in node.inputs]
            raise MismatchError(f"node {node.name!r} ({node.kind}) cannot take {' and '.join(map(str, taken))}: {error}") from None
        return found

    def _check(self, x: Tensor) -> None:
        axes = ["time", "batch"] if self.takes_sequence else ["batch"]
        if tuple(x.shape[len(axes) :]) != self.wiring.input_shape:
            expected = ", ".join([*axes, *map(str, self.wiring.input_shape)])
            raise MismatchError(f"{self.wiring.name} takes batches of shape [{expected}], got {list(x.shape)}")
        if not x.numel():  # before a batch norm takes the moments of nothing for its running ones
            least = [max(1, size) for size in x.shape]
            raise MismatchError(f"{self.wiring.name} takes no empty batch, got shape {list(x.shape)}; the least is {least}")


def _shows_still(node: Node) -> bool:
    return node.kind == "encode" and node.args.get("encoding", "direct") != "events"
