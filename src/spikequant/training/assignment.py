"""Which class each neuron of an unsupervised network stands for, and how often its vote is right."""

import torch
from torch import Tensor

from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network
from spikequant.training.outputs import Loader
from spikequant.training.stdp import responses


def assign(network: Network, loader: Loader, seed: int = 0) -> Tensor:
    """Label each neuron with the class of its highest mean response, in place; the labels ``[neuron]``, -1 for neurons that stayed silent.

    Equation: ``label[n] = argmax over c of mean spikes of n on images of c``. Source: Diehl & Cook (2015). ``loader`` gives training
    images, never test images. Neurons of a network quantized after training keep their float labels unless this is called again.

    Raises:
        MismatchError: a label outside the network's classes.
    """
    counts, y = responses(network, loader, seed)
    classes = vote_classes(network)
    if int(y.max()) >= classes or int(y.min()) < 0:
        raise MismatchError(f"labels from {int(y.min())} to {int(y.max())} do not fit the {classes} classes of {network.wiring.name}")
    labels = labels_of(counts, y, classes)
    _vote(network).copy_(labels)
    return labels


def labels_of(counts: Tensor, y: Tensor, classes: int) -> Tensor:
    """The class of each neuron's highest mean response.

    >>> labels_of(torch.tensor([[3, 0], [1, 0]]), torch.tensor([1, 0]), 2).tolist()
    [1, -1]
    """
    totals = torch.zeros(classes, counts.shape[1]).index_add_(0, y, counts.float())
    means = totals / y.bincount(minlength=classes).clamp(min=1).unsqueeze(1)
    return torch.where(means.amax(0) > 0, means.argmax(0), -1)


def voted(network: Network, loader: Loader, seed: int = 0) -> float:
    """The share of images whose class gets most votes, by the event-driven evaluation; silent images count as wrong, all of them where
    a network's weights became too small for any spike.

    Raises:
        SpecError: neurons fire, and none has a label yet.
    """
    labels = _vote(network)
    counts, y = responses(network, loader, seed)
    if (labels < 0).all() and counts.any():
        raise SpecError("no neuron has a class yet: call assign with training images first")
    votes = network.get_submodule("vote")(counts.float())
    return float(((votes.argmax(1) == y) & (counts.sum(1) > 0)).float().mean())


def vote_classes(network: Network) -> int:
    """How many classes the network tells apart."""
    return int(network.get_submodule("vote").classes)  # type: ignore[arg-type]


def _vote(network: Network) -> Tensor:
    labels = network.get_submodule("vote").labels
    if not isinstance(labels, Tensor):
        raise MismatchError(f"{network.wiring.name} has no vote")
    return labels
