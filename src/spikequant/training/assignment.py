"""Which class each neuron of an unsupervised network stands for, and how often its vote is right."""

import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.training.outputs import Loader, refuse_targets
from spikequant.training.stdp import parts, responses


def assign(network: Network, loader: Loader, seed: int = 0) -> Tensor:
    """Label each neuron with the class of its highest mean response, in place; the labels ``[neuron]``, -1 for neurons that stayed silent.

    Equation: ``label[n] = argmax over c of mean spikes of n on images of c``. Source: Diehl & Cook (2015). ``loader`` gives training
    images, never test images. Neurons of a network quantized after training keep their float labels unless this is called again.

    Raises:
        MismatchError: the network is built otherwise, or labels are none of its classes.
    """
    vote = parts(network).vote
    counts, y = responses(network, loader, seed)
    refuse_targets(vote(counts.float()), y)
    labels = labels_of(counts, y, vote.classes)
    vote.labels.copy_(labels)
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
        MismatchError: the network is built otherwise, or targets are none of its classes.
    """
    vote = parts(network).vote
    counts, y = responses(network, loader, seed)
    if (vote.labels < 0).all() and counts.any():
        raise SpecError("no neuron has a class yet: call assign with training images first")
    votes = vote(counts.float())
    refuse_targets(votes, y)
    return float(((votes.argmax(1) == y) & (counts.sum(1) > 0)).float().mean())
