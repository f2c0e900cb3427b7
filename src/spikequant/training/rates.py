"""Behavior as a goal: a term of the loss that keeps firing rates near those of a float network."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from spikequant.behavior import record
from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import tap
from spikequant.training.hearing import Heard
from spikequant.training.outputs import Loader
from spikequant.training.spec import RateKind, Rates


def recorded(rates: Rates, model: nn.Module, loader: Loader, batches: int = 20) -> Rates:
    """The same wish, with the rates that ``model`` (the float network) has on the first batches of training data.

    >>> from spikequant.neurons import LIF
    >>> model, loader = nn.Sequential(LIF(decay=0.5)), [(torch.eye(2).expand(4, 2, 2), torch.zeros(2))]
    >>> recorded(Rates(weight=1.0), model, loader).wanted
    {'0': (0.5, 0.5)}
    """
    firing = record(model, loader, batches)
    return rates.model_copy(update={"wanted": {layer.name: tuple(map(float, layer.rates)) for layer in firing.layers}})


def rate_distance(rates: Tensor, wanted: Tensor, kind: RateKind = "distribution") -> Tensor:
    """How far the rates of a layer's channels are from those wanted, whichever channel has which.

    Equation: ``distribution``, ``mean_i |sort(r)_i - sort(w)_i|``, the earth mover's distance; ``mean``, ``|mean(r) - mean(w)|``.
    Shapes: both ``[channel]``.

    Raises:
        MismatchError: they are of other channels.

    Source: Beyond Accuracy, Eq. 3.

    >>> float(rate_distance(torch.tensor([0.5, 0.25]), torch.tensor([0.25, 1.0])))
    0.25
    >>> float(rate_distance(torch.tensor([0.5, 0.25]), torch.tensor([0.25, 0.5]), "mean"))
    0.0
    """
    if rates.shape != wanted.shape:
        raise MismatchError(f"{tuple(wanted.shape)} rates are wanted of a layer with {tuple(rates.shape)} channels; record them anew")
    if kind == "mean":
        return (rates.mean() - wanted.mean()).abs()
    return (rates.sort().values - wanted.sort().values).abs().mean()


@contextlib.contextmanager
def near_rates(model: nn.Module, wish: Rates | None) -> Iterator[Callable[[], Tensor | float]]:
    """Within the block the rates of every layer are kept with their gradient; the result gives the term after it.

    Equation: ``weight * mean over layers of rate_distance(rates of the batch, rates wanted)``; without a wish nothing is watched.

    Raises:
        SpecError: the wish holds no rates yet.
        MismatchError: it is for other layers or channels.
    """
    if wish is None:
        yield lambda: 0.0
        return
    if not wish.wanted:
        raise SpecError("Training.rates holds no rates yet; use training.recorded(rates, float_model, loader)")
    heard = Heard(_of_channels)
    with tap(model, heard):
        yield lambda: wish.weight * _mean_distance(heard.rates, wish)


def _of_channels(spikes: Tensor) -> Tensor:
    return spikes.transpose(0, 2).flatten(1).mean(1)


def _mean_distance(heard: dict[str, Tensor], wish: Rates) -> Tensor:
    if wish.wanted.keys() != heard.keys():
        raise MismatchError(f"rates are wanted of {', '.join(wish.wanted)}, the model has {', '.join(heard)}; record them anew")
    for name, rates in heard.items():
        if len(rates) != len(wish.wanted[name]):
            raise MismatchError(f"layer {name!r} has {len(rates)} channels, rates are wanted of {len(wish.wanted[name])}; record them anew")
    pairs = [(rates, rates.new_tensor(wish.wanted[name])) for name, rates in heard.items()]
    return torch.stack([rate_distance(rates, wanted, wish.kind) for rates, wanted in pairs]).mean()
