"""Deep continuous local learning: every layer learns from a fixed random readout of its own, at every time step."""

import time
from collections.abc import Iterator, Sized
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikequant.behavior.recorder import pairs
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, draw_readout
from spikequant.neurons import Refraining, Traces
from spikequant.numerics import Refrained, Traced, fired, refrain, trace
from spikequant.training.accuracy import evaluate
from spikequant.training.divergence import INPUT, diverged, finite
from spikequant.training.events import Epoch, Step
from spikequant.training.outputs import Loader, device_of, refuse_targets
from spikequant.training.plasticity import Decolle

ROUNDS = 10  # of settling one layer
LAYER = ("traces", "conv2d", "refraining")


class Block:
    """One layer with its readout, and what it holds between two steps."""

    def __init__(self, parts: list[nn.Module], pool: nn.Module, readout: nn.Linear) -> None:
        self.traces, self.synapses, self.neurons = cast(Traces, parts[0]), parts[1], cast(Refraining, parts[2])
        self.pool, self.readout = pool, readout
        self.forget()

    def forget(self) -> None:
        """Back to rest."""
        self.traced: Traced | None = None
        self.refrained: Refrained | None = None

    def show(self, spikes: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Membranes and pooled spikes of one step; gradients end at the layer's input and at its last step."""
        given, traces = spikes.detach(), self.traces
        held = self.traced or Traced(torch.zeros_like(given), torch.zeros_like(given))
        with torch.no_grad():
            weighed, self.traced = trace(given, held, traces.alpha, traces.beta, traces.scaling, step, traces.rounds)
        current: Tensor = self.synapses(weighed)
        before = self.refrained or Refrained(torch.zeros_like(current), torch.zeros_like(current))
        u, after = refrain(current, before, self.neurons.settings, step, self.neurons.rounds)
        self.refrained = Refrained(after.r.detach(), after.spikes)
        pooled: Tensor = self.pool(u)  # the pool of membranes fires as the pool of spikes does, and its gradient finds the highest
        return u, fired(pooled, self.neurons.settings)


def blocks(network: Network, seed: int) -> list[Block]:
    """The layers of a network like ``decolle`` with their readouts: the network's own for the last, drawn from ``seed`` for the others.

    Raises:
        MismatchError: the network is built otherwise.
    """
    nodes = [node for node in network.wiring.nodes if node.kind not in ("encode", "flatten")]
    shapes, found, generator = network.shapes(), list[Block](), torch.Generator().manual_seed(seed)
    own = network.get_submodule(nodes[-1].name)
    classes = shapes[nodes[-1].name][-1]
    while tuple(node.kind for node in nodes[:3]) == LAYER:
        layer, rest = nodes[:3], nodes[3:]
        pools = [rest.pop(0)] if rest and rest[0].kind == "max_pool" else []
        inputs = torch.Size(shapes[(pools or layer)[-1].name]).numel()
        readout = own if len(rest) == 1 and isinstance(own, nn.Linear) else nn.Linear(inputs, classes)
        if readout is not own:
            draw_readout(readout, generator)
            readout.to(device_of(network))
        pool = network.get_submodule(pools[0].name) if pools else nn.Identity()
        found.append(Block([network.get_submodule(node.name) for node in layer], pool, readout))
        nodes = rest
    if not found or [node.kind for node in nodes] != ["linear"]:
        kinds = ", ".join(node.kind for node in network.wiring.nodes)
        raise MismatchError(f"local learning takes layers of traces, conv2d, refraining, then linear; {network.wiring.name} has {kinds}")
    return found


def learn_locally(network: Network, loader: Loader, decolle: Decolle, validation: Loader | None = None) -> Iterator[Step | Epoch]:
    """Train in place, batch by batch of event frames ``[time, batch, ...]``; a quantized network learns with its grids in place.

    With ``decolle.settling`` above 0, its default, all weights are drawn anew; set 0 to train on.
    The loss of a step is the sum over layers of the smooth L1 distance of a readout to the one-hot target; its gradient goes to the
    weights of its own layer alone. Adamax takes one step for every time step. Deterministic given ``decolle.seed``.

    Raises:
        MismatchError: a network of another kind, targets that do not fit, or a layer without the bias that settling moves.
        SpecError: a loader that gives nothing, or sequences no longer than the burn-in.
        Diverged: a loss or weight that is not finite; names batch and epoch.
    """
    layers, step = blocks(network, decolle.seed), 0
    parameters = [each for block in layers for each in block.synapses.parameters() if each.requires_grad]
    optimizer = torch.optim.Adamax(parameters, decolle.lr, betas=(0.0, decolle.second_moment))
    noise = torch.Generator().manual_seed(decolle.seed + 1)
    total = len(loader) * decolle.epochs if isinstance(loader, Sized) else None
    for epoch in range(decolle.epochs):
        began, seen, losses = time.perf_counter(), 0, list[float]()
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        optimizer.param_groups[0]["lr"] = decolle.rate(epoch)
        network.train()
        for x, y in pairs(loader):
            if step == 0 and decolle.settling:
                settle(layers, x[:, : decolle.settling].to(device_of(network)), noise)
            losses.append(_learned(layers, optimizer, (x, y), decolle, noise))
            if not finite([torch.tensor(losses[-1]), *(each.detach() for each in parameters)]):
                what = "a local loss or weight" if torch.isfinite(x).all() else INPUT
                raise diverged(what, f"batch {len(losses)} in epoch {epoch + 1}", "lower lr")
            step, seen = step + 1, seen + len(y)
            yield Step(losses[-1], step, total, epoch + 1, seen / (time.perf_counter() - began))
        if not losses:
            raise SpecError(f"the loader gave no sample in epoch {epoch + 1}; it must be iterable anew for every epoch")
        seconds = time.perf_counter() - began
        network.eval()
        yield Epoch(epoch + 1, sum(losses) / len(losses), None if validation is None else evaluate(network, validation), seconds)


def _learned(
    layers: list[Block], optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor], decolle: Decolle, noise: torch.Generator
) -> float:
    """One batch from its first time step to its last; the mean loss of the steps that were learned from."""
    device = layers[0].readout.weight.device
    x, y = (each.to(device) for each in batch)
    if decolle.burn_in >= len(x):
        raise SpecError(f"burn_in {decolle.burn_in} must be below the {len(x)} time steps of a sample; nothing would be learned")
    refuse_targets(layers[-1].readout.weight.new_empty(x.shape[1], layers[-1].readout.out_features), y)
    for block in layers:
        block.forget()
    for step in range(min(1, decolle.burn_in) if decolle.compat_burnin else decolle.burn_in):
        with torch.no_grad():
            _passed(layers, x[step], step)
    total = torch.zeros((), device=device)
    for step in range(decolle.burn_in, len(x)):
        loss = _loss(layers, _passed(layers, x[step], step), y, decolle.dropout, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach()
    return float(total) / (len(x) - decolle.burn_in)


def _passed(layers: list[Block], spikes: Tensor, step: int) -> list[Tensor]:
    """The pooled spikes of every layer in one step."""
    found = []
    for block in layers:
        spikes = block.show(spikes, step)[1]
        found.append(spikes)
    return found


def _loss(layers: list[Block], spikes: list[Tensor], y: Tensor, dropout: float, noise: torch.Generator) -> Tensor:
    parts = []
    for block, each in zip(layers, spikes, strict=True):
        flat = each.flatten(1)
        kept = (torch.rand(flat.shape, generator=noise) >= dropout).to(flat) / (1 - dropout)
        said = block.readout(flat * kept)
        parts.append(functional.smooth_l1_loss(said, functional.one_hot(y, said.shape[1]).to(said)))
    return torch.stack(parts).sum()


@torch.no_grad()
def settle(layers: list[Block], x: Tensor, draws: torch.Generator | None = None) -> None:
    """Start weights: orthogonal, biases 0; then, layer by layer, membranes of the last step with variance 1 and mean 0.

    Equations: ``W /= sqrt(var U)`` while ``|var U - 1| > 0.1``, else ``b -= mean U / 2`` while ``|mean U| > 0.2``, ten rounds at most.
    Quantized weights move under their grids. Source: DECOLLE's code, after Mishkin & Matas (2016).
    """
    for block in layers:
        if getattr(block.synapses, "bias", None) is None:
            raise MismatchError("settling moves biases, and a conv2d of the network has none; set settling=0, or build it with bias=True")
        weight, bias = (_behind(block.synapses, name) for name in ("weight", "bias"))
        weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape), generator=draws))
        bias.zero_()
        for _ in range(ROUNDS):
            spikes, u = _whole(block, x)
            variance, mean = float(u.var()), float(u.mean())
            if abs(variance - 1) > 0.1 and variance > 0:
                weight.div_(variance**0.5)
            elif abs(mean) > 0.2:
                bias.sub_(0.5 * mean)
            else:
                break
        x = spikes


def _behind(layer: nn.Module, name: str) -> Tensor:
    held = getattr(layer, "parametrizations", {})
    return cast(Tensor, held[name].original if name in held else getattr(layer, name))


def _whole(block: Block, x: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled spikes of all steps, and the membranes of the last."""
    block.forget()
    shown = [block.show(spikes, step) for step, spikes in enumerate(x)]
    return torch.stack([spikes for _, spikes in shown]), shown[-1][0]
