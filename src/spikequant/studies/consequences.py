"""What moved firing may lead to: other answers on noisy images. For asking whether an EMD foretells it."""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Generator, Tensor

from spikequant.behavior import Firing, emd
from spikequant.data import Batches
from spikequant.models import Network
from spikequant.training import evaluate

NOISE = 0.2


def emd_to_others(firing: Firing, others: Sequence[Firing]) -> float:
    """The mean EMD to networks of other seeds: that of a pairing with independent initialization and order.

    >>> import numpy as np
    >>> from spikequant.behavior import LayerFiring
    >>> def fired(*counts): return Firing((LayerFiring("a", np.array([counts]), np.array([4]), 1, 4),), 1)
    >>> emd_to_others(fired(0, 4), [fired(0, 4), fired(4, 4)])
    0.25
    """
    return fmean(fmean(emd(a.rates, b.rates) for a, b in zip(firing.layers, other.layers, strict=True)) for other in others)


def noisy_accuracy(network: Network, images: Batches, deviation: float = NOISE) -> float:
    """The accuracy on images with Gaussian noise of this deviation on pixels in [0, 1]; every network is shown the same noise."""

    def noisy(x: Tensor, generator: Generator) -> Tensor:
        return x + deviation * torch.randn(x.shape, generator=generator).to(x.device)

    return evaluate(network, Batches(images.split, images.batch_size, images.scale, seed=0, augment=noisy))
