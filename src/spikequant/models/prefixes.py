"""Candidates that share their first layers share those layers' values: a store of spikes by what they were computed from."""

import contextlib
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.models.network import Network
from spikequant.models.wiring import INPUT, Node
from spikequant.neurons import LIF
from spikequant.numerics import compact, expanded
from spikequant.quantizers import Quantizer

LIMIT = 2**30  # bytes
STATELESS = ("conv2d", "linear")  # kinds that are the same whether they are watched or not
NOWHERE = torch.empty(0)
DRAWING = ("competing",)  # kinds that draw as they run


class Kept(NamedTuple):
    """The value of a node, and how often each neuron on the way to it from the kept values before it fired, in how many steps."""

    value: Tensor
    dtype: torch.dtype
    counts: dict[str, tuple[Tensor, int, int]]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(each.numel() * each.element_size() for each in (self.value, *(counts for counts, *_ in self.counts.values())))


class Prefixes:
    """Values of networks in evaluation, kept for the next network whose layers up to there are the same.

    A node's key is a digest of all that its value follows from: the input's bits, and on the way to it every node's arguments, tensors
    and grids. What rounds stochastically has no key, nor has what follows it. Kept are whole numbers up to 255, as bytes, and
    what stands for all time steps, and outputs; of all that, what was used last, up to ``limit`` bytes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.held = limit, 0
        self.computed = self.reused = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    @contextlib.contextmanager
    def shared(self, network: Network) -> Iterator[None]:
        """Within the block, which must not change the network, its evaluations without gradients take and leave values here."""
        network.through = functools.partial(self._run, network, _digests(network))
        try:
            yield
        finally:
            network.through = None

    def _run(self, network: Network, digests: dict[str, str | None], x: Tensor) -> Tensor:
        nodes, watched = network.wiring.nodes, _watched(network)
        if any(node.kind not in STATELESS for node in nodes if node.name in watched):
            return network.run(x)  # watched parts run one by one, and that is not the same arithmetic
        listened = {name for name, neuron in _neurons(network).items() if neuron.counters}
        keys = _keys(network, digests, x)
        found = {name: kept for name, key in keys.items() if key is not None and (kept := self._kept.get(key)) is not None}
        found = {name: kept for name, kept in found.items() if name not in listened or name in kept.counts}
        told = {name for kept in found.values() for name in kept.counts}
        # Who only hears what goes into a layer is told so, and the layer need not run for it.
        sources = {node.name: node.inputs[0] for node in nodes if node.name in watched and _hears_inputs_alone(network, node.name)}
        wanted = {_end(network, name) for name in listened - told} | (watched - sources.keys())
        needed = network.needed(found.keys(), wanted | (set(sources.values()) - found.keys() - {INPUT}))
        used = {source for node in nodes if node.name in needed for source in node.inputs} | {nodes[-1].name, *sources.values()}
        untold = {name: source for name, source in sources.items() if name not in needed}
        known = {name: _widened(kept) for name, kept in found.items() if name in used - needed}
        with _counting(network, listened) as counted:
            for node, value in network.values(x, fuse=True, known=known, needed=needed):
                output = value
                _tell(network, [name for name, source in untold.items() if source == node.name], value)
                if node.name in needed:
                    self.computed += 1
                    self._keep(keys[node.name], value if node is nodes[-1] else _packed(value), value.dtype, counted)
                    counted.clear()
        for name in found.keys() - needed:
            self._reuse(network, str(keys[name]), found[name])
        return output

    def _reuse(self, network: Network, key: str, kept: Kept) -> None:
        self.reused += 1
        if key in self._kept:
            self._kept.move_to_end(key)
        for name, counted in kept.counts.items():
            _neurons(network)[name].hear(*counted)

    def _keep(self, key: str | None, value: Tensor | None, dtype: torch.dtype, counted: dict[str, tuple[Tensor, int, int]]) -> None:
        if key is None or value is None:
            return
        kept = Kept(value, dtype, dict(counted))
        if kept.size > self.limit:
            return
        self.held += kept.size - (self._kept[key].size if key in self._kept else 0)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while self.held > self.limit:
            self.held -= self._kept.popitem(last=False)[1].size


def _digests(network: Network) -> dict[str, str | None]:
    """Of every node's arguments, tensors and grids; None where it draws."""
    return {node.name: _digest(node, network.get_submodule(node.name)) for node in network.wiring.nodes}


def _digest(node: Node, module: nn.Module) -> str | None:
    digest = hashlib.blake2b(f"{node.kind} {sorted(node.args.items())}".encode(), digest_size=16)
    for name, part in module.named_modules():
        if isinstance(part, Quantizer) and part.rounding_rule == "stochastic":
            return None
        digest.update(f"{name} {type(part).__qualname__} {_settings(part)}".encode())
    for name, tensor in module.state_dict().items():
        plain_tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain_tensor.dtype} {tuple(plain_tensor.shape)}".encode())
        digest.update(plain_tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return None if node.kind in DRAWING else digest.hexdigest()


def _settings(part: nn.Module) -> list[object]:
    """What a module holds besides tensors and modules."""
    plain: list[object] = [(name, each) for name, each in vars(part).items() if isinstance(each, str | int | float) and name != "training"]
    if isinstance(part, Quantizer):
        plain += [part.spec, part.shape]
    if isinstance(part, LIF):
        held = [getattr(part, holder, None) for holder in ("state", "synapse_state", "threshold_state")]
        plain += [part.dynamics._replace(threshold=NOWHERE, decay=NOWHERE), *(each for each in held if not isinstance(each, nn.Module))]
    return plain


def _keys(network: Network, digests: dict[str, str | None], x: Tensor) -> dict[str, str | None]:
    seen = hashlib.blake2b(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), digest_size=16)
    keys: dict[str, str | None] = {INPUT: f"{seen.hexdigest()} {x.dtype} {x.device} {tuple(x.shape)} {network.wiring.time}"}
    for node in network.wiring.nodes:
        parts = [node.name, digests[node.name], *(keys[source] for source in node.inputs)]
        text = None if None in parts else " ".join(map(str, parts))
        keys[node.name] = None if text is None else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return keys


def _end(network: Network, neuron: str) -> str:
    """The node whose value is there once a neuron has run: its own, or that of its chain's end."""
    return next((chain.last for chain in network.chains.values() if chain.lif == neuron), neuron)


def _neurons(network: Network) -> dict[str, LIF]:
    modules = ((node.name, network.get_submodule(node.name)) for node in network.wiring.nodes)
    return {name: module for name, module in modules if isinstance(module, LIF)}


def _watched(network: Network) -> set[str]:
    modules = {node.name: network.get_submodule(node.name) for node in network.wiring.nodes}
    return {name for name, module in modules.items() if module._forward_hooks or module._forward_pre_hooks}


def _hears_inputs_alone(network: Network, name: str) -> bool:
    module = network.get_submodule(name)
    return not module._forward_hooks and not module._forward_pre_hooks_with_kwargs


def _tell(network: Network, layers: list[str], value: Tensor) -> None:
    """Let those who listen before these layers hear what would go into them."""
    for layer in layers:
        module = network.get_submodule(layer)
        for hook in list(module._forward_pre_hooks.values()):
            hook(module, (value.flatten(0, 1),))


@contextlib.contextmanager
def _counting(network: Network, listened: set[str]) -> Iterator[dict[str, tuple[Tensor, int, int]]]:
    """Counts of the neurons that run within the block and are listened to, for us too. Nobody else's: counting may unfuse."""
    counted: dict[str, tuple[Tensor, int, int]] = {}
    neurons = {name: neuron for name, neuron in _neurons(network).items() if name in listened}
    before = {name: neuron.counters for name, neuron in neurons.items()}

    def counter(name: str) -> Callable[[Tensor, int, int], object]:
        return lambda *seen: counted.__setitem__(name, seen)

    for name, neuron in neurons.items():
        neuron.counters = (*before[name], counter(name))
    try:
        yield counted
    finally:
        for name, neuron in neurons.items():
            neuron.counters = before[name]


def _packed(value: Tensor) -> Tensor | None:
    """Whole numbers up to 255 as bytes; one step that stands for all as it is; else None."""
    small = compact(value)
    return value if small is None and value.shape[0] == 1 else small


def _widened(kept: Kept) -> Tensor:
    return expanded(kept.value, kept.dtype) if kept.value.dtype == torch.uint8 else kept.value
