"""Batch norm, neuron and max pool or residual sum in a row as one call, where nothing between them is asked for."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.models.wiring import Node, Wiring
from spikequant.neurons import LIF
from spikequant.numerics import Norm, Tail, moments, norm_scan, norm_scan_fits


class Chain(NamedTuple):
    """The names of a batch norm, the neuron that it feeds, the max pool or sum after that, if any, and what the sum adds."""

    norm: str
    lif: str
    after: str | None = None
    shortcut: str | None = None

    @property
    def last(self) -> str:
        """Whose value the chain yields."""
        return self.after or self.lif


def chains(wiring: Wiring) -> dict[str, Chain]:
    """The chains of a wiring by their first node: neighbors in its order, every inner value with one use.

    >>> from spikequant.models.small import digits
    >>> chains(digits())["norm1"]
    Chain(norm='norm1', lif='lif1', after='pool1', shortcut=None)
    """
    next_to = {node.name: after for node, after in itertools.pairwise(wiring.nodes)}
    readers: dict[str, list[str]] = {}
    for node in wiring.nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node.name)

    def only_reader(name: str, *kinds: str) -> Node | None:
        after = next_to.get(name)
        return after if after is not None and readers.get(name) == [after.name] and after.kind in kinds else None

    found = {}
    for node in wiring.of_kind("batch_norm"):
        if (lif := only_reader(node.name, "lif")) is None:
            continue
        after = only_reader(lif.name, "max_pool", "add")
        others = [] if after is None else [source for source in after.inputs if source != lif.name]
        found[node.name] = Chain(node.name, lif.name, None if after is None else after.name, others[0] if others else None)
    return found


def fused(model: nn.Module, chain: Chain, current: Tensor, plus: Tensor | None, steps: int | None) -> Tensor | None:
    """The value of a chain's last node, or None where its parts must run one by one: a part is watched, or no twin fits.

    ``plus`` is the value of the chain's shortcut.
    """
    norm, lif = model.get_submodule(chain.norm), model.get_submodule(chain.lif)
    after = None if chain.after is None else model.get_submodule(chain.after)
    if not isinstance(norm, nn.BatchNorm2d) or not isinstance(lif, LIF) or any(_watched(part) for part in (norm, lif, after)):
        return None
    size = 1 if after is None or plus is not None else _size(after)
    if (
        size is None
        or norm.momentum is None
        or not norm.track_running_stats
        or not norm.affine
        or lif.is_noisy
        or lif.follows
        or lif.rest
        or lif.frozen is not None
    ):
        return None
    shown = current.shape[0] if steps is None else steps
    if plus is not None and plus.shape[0] != shown:
        return None
    dynamics, state, tail = lif.broadcast(current), lif.held(), Tail(size, plus, _room_for_counts(lif, current))
    if not norm_scan_fits(current, dynamics, state, tail):
        return None
    spikes = norm_scan(current, _affine(norm, current), dynamics, state, steps, tail)
    if tail.counts is not None:
        lif.hear(tail.counts, shown, current[0, 0, 0].numel())
    return spikes


def _room_for_counts(lif: LIF, current: Tensor) -> Tensor | None:
    """Where a scan puts how often each channel fired; None where nobody asks."""
    return current.new_empty(current.shape[1:3], dtype=torch.float32, requires_grad=False) if lif.counters else None


def _watched(module: nn.Module | None) -> bool:
    return module is not None and bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _size(pool: nn.Module) -> int | None:
    """The window of a plain max pool: square, as wide as its stride, without padding."""
    plain = isinstance(pool, nn.MaxPool2d) and isinstance(pool.kernel_size, int) and pool.stride in (None, pool.kernel_size)
    return int(pool.kernel_size) if plain and not pool.padding and pool.dilation == 1 and not pool.ceil_mode else None  # type: ignore[arg-type]


def _affine(norm: nn.BatchNorm2d, current: Tensor) -> Norm:
    """Batch norm as scale and shift; in training by the moments of the batch, and the running ones move on."""
    mean, variance = moments(current) if norm.training else _running(norm)
    inverse = torch.rsqrt(variance + norm.eps)
    scale = norm.weight * inverse
    shift = norm.bias - mean * scale
    if not norm.training:
        return Norm(scale, shift)
    count = current.numel() // current.shape[2]
    _follow(norm, mean, variance * (count / max(count - 1, 1)))
    return Norm(scale, shift, mean, inverse)


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None, "the caller has checked track_running_stats"
    assert norm.running_var is not None, "the caller has checked track_running_stats"
    return norm.running_mean, norm.running_var


@torch.no_grad()
def _follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    for running, seen in zip(_running(norm), (mean, variance), strict=True):
        running.lerp_(seen, norm.momentum or 0.0)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
