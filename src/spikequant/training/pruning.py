"""Channels that say little are taken out before a training: QP-SNN by the rank of what they fire, SpikeFit by Fisher's information."""

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack

import torch
from torch import Tensor
from torch.nn import functional

from spikequant.behavior.recorder import pairs
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.narrowing import couplings, narrowed
from spikequant.neurons import spiking, tap
from spikequant.neurons.showing import watching
from spikequant.recipes import Recipe, quantize
from spikequant.training.outputs import Loader, device_of, refuse_targets, step_outputs
from spikequant.training.spec import Pruning

Scores = dict[str, Tensor]


def prune(model: Network, loader: Loader, pruning: Pruning, recipe: Recipe | None = None, calibration_batches: int = 8) -> Network:
    """A smaller float network: of every neuron that can lose channels, those of the lowest score are gone. Train it on afterwards.

    With a ``recipe`` the scores are those of the network quantized by it (QP-SNN: quantize, prune, train on).
    ``loader`` gives training data.

    Raises:
        SpecError: no layer can lose channels, the network is quantized, or the loader gave no batch.

    >>> from spikequant.models import build
    >>> shown = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))]
    >>> prune(build("digits"), shown, Pruning(share=0.5)).conv1.out_channels
    8
    """
    if model.recipe is not None:
        raise SpecError("pruning takes the float network; give the recipe as an argument, and quantize what comes back")
    watched = copy.deepcopy(model) if recipe is None else quantize(model, recipe, loader, calibration_batches)
    scores = channel_scores(watched, loader, pruning, _prunable(model))
    return narrowed(model, {name: _highest(score, pruning.share) for name, score in scores.items()})


def channel_scores(model: Network, loader: Loader, pruning: Pruning, neurons: Collection[str] = ()) -> Scores:
    """What every channel of ``neurons`` is worth, ``[channel]``, the mean over images; of all that can lose channels, if none are named.

    Equations, s the spikes of a channel: ``rank``, the rank of ``mean_t s`` as a matrix of height and width (QP-SNN);
    ``fisher``, ``(sum_t,x,y s dL/ds)^2``, L the cross entropy of the mean output (SpikeFit, our reading).

    Raises:
        SpecError: no neuron can lose channels, or the loader gave no batch.
        MismatchError: targets do not fit (``fisher``).
    """
    names = neurons or _prunable(model)
    seen = {name: list[Tensor]() for name in names}
    with watching(model):
        for found in SCORES[pruning.score](model, _batches(model, loader, pruning.batches)):
            for name in names:
                seen[name].append(found[name])
    return {name: torch.cat(each).double().mean(0) for name, each in seen.items()}


def _prunable(model: Network) -> list[str]:
    names = list(couplings(model.wiring))
    if not names:
        raise SpecError(f"{model.wiring.name}: no neuron can lose channels: each is read by a residual sum, or by no layer")
    return names


def _batches(model: Network, loader: Loader, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    device, empty = device_of(model), True
    for _, (x, y) in zip(range(most), pairs(loader), strict=False):
        yield x.to(device), y.to(device)
        empty = False
    if empty:
        raise SpecError("the loader gave no batch: pruning needs at least 1 of training data")


def _ranks(model: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Scores]:
    """``[image, channel]`` for every batch."""
    found: Scores = {}

    def listener(name: str, spikes: Tensor) -> None:
        rates = spikes.float().mean(0)
        found[name] = torch.linalg.matrix_rank(rates if rates.ndim == 4 else rates.reshape(*rates.shape[:2], 1, -1))

    for x, _ in batches:
        with tap(model, listener):
            model(x)
        yield found


def _information(model: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Scores]:
    """``[image, channel]`` for every batch."""
    fired: Scores = {}

    def kept(name: str) -> Callable[[object, object, Tensor], None]:
        return lambda module, inputs, spikes: fired.__setitem__(name, spikes)

    for x, y in batches:
        with ExitStack() as stack, torch.enable_grad():
            for name, neuron in spiking(model).items():
                stack.callback(neuron.register_forward_hook(kept(name)).remove)
            outputs = step_outputs(model, x).mean(0)
            refuse_targets(outputs, y)
            loss = functional.cross_entropy(outputs, y, reduction="sum")
        gradients = dict(zip(fired, torch.autograd.grad(loss, list(fired.values())), strict=True))
        felt = {name: (spikes * gradients[name]).detach() for name, spikes in fired.items()}
        yield {name: each.reshape(*each.shape[:3], -1).sum((0, 3)).square() for name, each in felt.items()}


SCORES: dict[str, Callable[[Network, Iterable[tuple[Tensor, Tensor]]], Iterator[Scores]]] = {"rank": _ranks, "fisher": _information}


def _highest(score: Tensor, share: float) -> Tensor:
    """The channels that stay, ascending; of equal scores the first."""
    gone = math.floor(len(score) * share + 1e-9)  # of 10 channels and 0.7 it is 7, though the product is a hair below
    stay = max(1, len(score) - gone)
    return score.sort(descending=True, stable=True).indices[:stay].sort().values.cpu()
