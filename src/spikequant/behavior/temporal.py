"""When neurons fire: what rates hide. Two networks, spike by spike, on the same images."""

import math
from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from spikequant.behavior.matching import match
from spikequant.behavior.recorder import Loader, first, seeded
from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import tap
from spikequant.neurons.showing import from_rest, watching

TAU_STEPS = 2.0


class Timing(NamedTuple):
    """How far apart in time two networks fire; each value is the mean over layers.

    ``timing_emd``: of each neuron the EMD, in steps, of when its spikes fall, over all images; neurons silent in either network
    are left out. ``van_rossum``: the distance of two trains of one neuron and image. ``latency``, ``latency_reference``: the step of
    the first spike, where both fired. ``errors``: the share of differing bits at each step. A value that no neuron could give is None.
    """

    timing_emd: float | None
    van_rossum: float
    latency: float | None
    latency_reference: float | None
    errors: tuple[float, ...]

    @property
    def error_growth(self) -> float:
        """The least-squares slope of ``errors``, in shares a step; 0 with one step.

        >>> Timing(None, 0.0, None, None, (0.0, 0.25, 0.5)).error_growth
        0.25
        """
        middle, mean = (len(self.errors) - 1) / 2, sum(self.errors) / len(self.errors)
        spread = sum((step - middle) ** 2 for step in range(len(self.errors)))
        return sum((step - middle) * (error - mean) for step, error in enumerate(self.errors)) / spread if spread else 0.0


def timing(
    reference: nn.Module, network: nn.Module, loader: Loader, batches: int = 20, tau_steps: float = TAU_STEPS, seed: int = 0
) -> Timing:
    """Watch two networks on the same batches, in evaluation mode, and say how far apart in time they fire.

    Equations: EMD ``sum_t |F(t) - F'(t)|``, F the cumulated share of a neuron's spikes; van Rossum
    ``sqrt(1/tau sum_t (f - f')^2)``, ``f[t] = exp(-1/tau) f[t-1] + s[t]``, the trains taken to end with the last step.
    Both networks draw, as for a rate encoding, from the same ``seed``.

    Raises:
        MismatchError: layers cannot be matched, or differ in shape.
        SpecError: tau is not above 0 and finite, or no batch was given.

    Source: van Rossum (2001), in steps; Wasserstein-1 in one dimension.

    >>> from spikequant.neurons import IF
    >>> images = [(torch.ones(4, 2, 3), torch.zeros(2))]
    >>> timing(nn.Sequential(IF(1.0)), nn.Sequential(IF(2.0)), images).latency
    1.0
    """
    if not 0 < tau_steps < math.inf:
        raise SpecError(f"tau_steps must be above 0 and finite, got {tau_steps}; nearest valid value: {TAU_STEPS}")
    pairs = match(reference, network)
    found = {name: Trains(tau_steps) for name in pairs}
    with watching(reference, network):
        for index, (x, _) in enumerate(first(loader, batches)):
            ours, theirs = (spikes(model, x, seed + index) for model in (reference, network))
            for name, other in pairs.items():
                found[name].add(name, ours[name], theirs[other])
    return _over_layers(found)


def spikes(model: nn.Module, x: Tensor, seed: int) -> Mapping[str, Tensor]:
    """The spikes ``[time, batch, neuron]`` of every layer for one batch."""
    heard: dict[str, Tensor] = {}

    def listener(name: str, trains: Tensor) -> None:
        heard[name] = trains.detach().bool().flatten(2).cpu()

    with tap(model, listener), seeded(seed):
        from_rest(model, x)
    return heard


class Trains:
    """Sums over batches of what two layers fire; spikes are ``[time, batch, neuron]``."""

    def __init__(self, tau_steps: float) -> None:
        self.keep, self.tau_steps = torch.exp(torch.tensor(-1 / tau_steps)), tau_steps
        self.trains, self.distance, self.both = 0, 0.0, 0
        self.latencies = [0, 0]
        self.histograms: list[Tensor] = []  # [step, side, neuron]; a batch may have other steps than the next
        self.differing: list[Tensor] = []
        self.compared: list[Tensor] = []

    def add(self, name: str, ours: Tensor, theirs: Tensor) -> None:
        """Take in one batch."""
        if ours.shape != theirs.shape:
            raise MismatchError(f"layer {name!r} fires in shape {tuple(ours.shape)} and {tuple(theirs.shape)}: time cannot be compared")
        self.trains += ours[0].numel()
        self.distance += float(self._van_rossum(ours, theirs).sum())
        both = reduce(torch.logical_or, ours) & reduce(torch.logical_or, theirs)
        self.both += int(both.count_nonzero())
        for side, trains in enumerate((ours, theirs)):
            self.latencies[side] += _steps_without_spike(trains, both)
        self.histograms.append(torch.stack([trains.sum(1, dtype=torch.int32) for trains in (ours, theirs)], 1))
        self.differing.append(torch.tensor([int((one ^ other).count_nonzero()) for one, other in zip(ours, theirs, strict=True)]))
        self.compared.append(torch.full((len(ours),), ours[0].numel()))

    def _van_rossum(self, ours: Tensor, theirs: Tensor) -> Tensor:
        trace, squares = torch.zeros(ours.shape[1:]), torch.zeros(ours.shape[1:])
        for one, other in zip(ours.view(torch.int8), theirs.view(torch.int8), strict=True):
            trace.mul_(self.keep).add_(one - other)
            squares.addcmul_(trace, trace)
        return (squares / self.tau_steps).sqrt()

    @property
    def timing_emd(self) -> float | None:
        """The mean over neurons that fire in both."""
        each = _over_batches(self.histograms).transpose(0, 1).double()
        total = each.sum(1, keepdim=True)
        fires = (total > 0).all(0).squeeze(0)
        if not fires.any():
            return None
        cumulated = (each[:, :, fires] / total[:, :, fires]).cumsum(1)
        return float((cumulated[0] - cumulated[1]).abs().sum(0).mean())

    @property
    def errors(self) -> list[float]:
        """The share of differing bits at each step."""
        found: list[float] = (_over_batches(self.differing) / _over_batches(self.compared)).tolist()
        return found


def _over_batches(each: list[Tensor]) -> Tensor:
    """The sum of what was counted at each step ``[step, ...]``; shorter batches add nothing to later steps."""
    return pad_sequence(each, batch_first=True).sum(0)


def _steps_without_spike(trains: Tensor, among: Tensor) -> int:
    """How many steps pass before the first spikes of some trains, all of which fire, added up."""
    waiting, steps = among.clone(), 0
    for now in trains:
        waiting &= ~now
        steps += int(waiting.count_nonzero())
    return steps


def _over_layers(found: Mapping[str, Trains]) -> Timing:
    layers = list(found.values())
    emds = [value for layer in layers if (value := layer.timing_emd) is not None]
    late = [[steps / layer.both for steps in layer.latencies] for layer in layers if layer.both]
    reference, network = ([pair[side] for pair in late] for side in (0, 1))
    steps = zip(*(layer.errors for layer in layers), strict=True)
    return Timing(
        _mean(emds),
        sum(layer.distance / layer.trains for layer in layers) / len(layers),
        _mean(network),
        _mean(reference),
        tuple(sum(step) / len(step) for step in steps),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
