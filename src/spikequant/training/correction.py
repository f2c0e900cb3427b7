"""Firing rates put right after quantization, channel by channel and without gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from spikequant.behavior import record
from spikequant.behavior.recorder import first
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network
from spikequant.neurons import LIF, TrainedThreshold, spiking
from spikequant.neurons.showing import placed, watching
from spikequant.training.outputs import Loader
from spikequant.training.spec import Correction

HALVINGS = 20
LEAST = 1e-3  # a threshold keeps this share of itself: it must stay above 0

Currents = list[tuple[Tensor, int | None]]
Fires = Callable[[Tensor], Tensor]


@torch.no_grad()
def correct_rates(network: Network, reference: Network, loader: Loader, correction: Correction | None = None) -> None:
    """Move biases or thresholds, in place, until every channel fires on training data as often as that of the float network.

    Equation: of layer after layer, each seeing the corrected ones before it, ``shift_c = argmin |r_c(shift) - r_c of the reference|`` by
    halving an interval of two thresholds and the largest current on either side; then ``bias_c += shift_c`` or ``threshold_c -= shift_c``.
    A channel that no shift brings nearer keeps what it has.

    Raises:
        MismatchError: the networks have other layers or channels.
        SpecError: a layer has no bias of its own before its neuron; a threshold would leave its grid, or is trained; the network
            computes in integers.
    """
    wish = correction or Correction()
    refuse_uncorrectable(network, wish)
    wanted = {layer.name: layer.rates for layer in record(reference, loader, wish.batches).layers}
    neurons = spiking(network)
    if wanted.keys() != neurons.keys():
        raise MismatchError(f"the float network fires in {', '.join(wanted)}, this one in {', '.join(neurons)}: rates have no counterpart")
    with watching(network):
        for name, neuron in neurons.items():
            currents = _currents(network, name, loader, wish.batches)
            rates = torch.as_tensor(wanted[name], dtype=torch.float64, device=currents[0][0].device)
            channels = currents[0][0].shape[2]
            if len(rates) != channels:
                raise MismatchError(f"layer {name!r} has {channels} channels, that of the float network {len(rates)}")
            shift = _nearest(_fires(neuron, currents, wish), rates, _reach(neuron, currents))
            if wish.part == "bias":
                _bias(network, name).add_(shift)
            else:
                _move_threshold(network, name, neuron, shift)


def refuse_uncorrectable(network: Network, wish: Correction) -> None:
    """Refuse a network whose biases, or thresholds, cannot be moved.

    Raises:
        SpecError: says which, and what can be.
    """
    if getattr(network.recipe, "arithmetic", None) is not None:
        raise SpecError("the network computes in integers, whose biases and thresholds are on grids; correct one with a recipe of floats")
    fed: dict[str, str] = {}
    for name, neuron in spiking(network).items():
        if wish.part == "bias" and (first := fed.setdefault(_source(network, name), name)) != name:
            raise SpecError(f"{name}: the bias before it feeds {first!r} too, and cannot put both right; take part='threshold'")
        if wish.part == "bias":
            _bias(network, name)
        elif neuron.state is not None:
            raise SpecError(f"{name}: the threshold would leave the grid of the membrane; take part='bias'")
        elif isinstance(neuron, TrainedThreshold):
            raise SpecError(f"{name}: its threshold is trained; take part='bias'")


def _source(network: Network, name: str) -> str:
    return next(node.inputs[0] for node in network.wiring.nodes if node.name == name)


def _bias(network: Network, name: str) -> Tensor:
    source = _source(network, name)
    module: Any = network.get_submodule(source)
    bias = module.parametrizations.bias.original if parametrize.is_parametrized(module, "bias") else getattr(module, "bias", None)
    if not isinstance(bias, Tensor):
        raise SpecError(f"{name}: node {source!r} before it has no bias to correct; take part='threshold'")
    return bias


def _currents(network: Network, name: str, loader: Loader, batches: int) -> Currents:
    """What the neuron is given in each batch, with the number of steps for which one stands."""
    source, found = _source(network, name), Currents()
    for x, _ in first(loader, batches):
        value = next(value for node, value in network.values(placed(network, x)) if node.name == source)
        stands = len(value) == 1 and not network.takes_sequence
        found.append((value, network.wiring.time if stands else None))
    return found


def _fires(neuron: LIF, currents: Currents, wish: Correction) -> Fires:
    def rates(shift: Tensor) -> Tensor:
        fired = [_spikes(neuron, current, steps, shift, wish).transpose(0, 2).flatten(1) for current, steps in currents]
        return torch.stack([each.double().sum(1) for each in fired]).sum(0) / sum(each.shape[1] for each in fired)

    return rates


def _spikes(neuron: LIF, current: Tensor, steps: int | None, shift: Tensor, wish: Correction) -> Tensor:
    if wish.part == "bias":
        return neuron.scan(current + shift.reshape(1, 1, -1, *[1] * (current.ndim - 3)), steps=steps)[0]
    held = neuron.threshold
    neuron.threshold = _lowered(held, shift)
    spikes = neuron.scan(current, steps=steps)[0]
    neuron.threshold = held
    return spikes


def _lowered(threshold: Tensor, shift: Tensor) -> Tensor:
    return torch.maximum(threshold - shift, LEAST * threshold)


def _reach(neuron: LIF, currents: Currents) -> Tensor:
    largest = torch.stack([current.abs().transpose(0, 2).flatten(1).amax(1) for current, _ in currents]).amax(0)
    return largest + 2 * neuron.threshold


def _nearest(fires: Fires, wanted: Tensor, reach: Tensor) -> Tensor:
    low, high = -reach, reach
    best = torch.zeros_like(reach)
    error = (fires(best) - wanted).abs()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rates = fires(middle)
        nearer = (rates - wanted).abs() < error
        best, error = torch.where(nearer, middle, best), torch.where(nearer, (rates - wanted).abs(), error)
        low, high = torch.where(rates < wanted, middle, low), torch.where(rates < wanted, high, middle)
    return best


def _move_threshold(network: Network, name: str, neuron: LIF, shift: Tensor) -> None:
    neuron.threshold = _lowered(neuron.threshold, shift)
    neuron.dynamics = neuron.dynamics._replace(threshold=neuron.threshold)
    # The wiring, by which a saved network is built again, says that there is one for each channel.
    args = {"threshold": neuron.threshold.tolist()}
    nodes = tuple(node.model_copy(update={"args": node.args | args}) if node.name == name else node for node in network.wiring.nodes)
    network.wiring = network.wiring.model_copy(update={"nodes": nodes})
