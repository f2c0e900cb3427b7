"""The ranges of an unsupervised network while it learns, as Q-SpiNN's Table I and Fig. 8 show them."""

import copy

import torch

from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.numerics import Stream
from spikequant.recipes import Range
from spikequant.training.outputs import Loader
from spikequant.training.plasticity import Stdp
from spikequant.training.stdp import parts, shown


def learning_ranges(network: Network, loader: Loader, stdp: Stdp) -> list[Range]:
    """Lowest and highest V_reset, theta, V_th, V and w while a copy of the network learns; w holds the declared ``stdp.high`` too.

    Raises:
        SpecError: the loader gave nothing.
    """
    learner, seen, first = copy.deepcopy(network), [], 0
    for x, _ in loader:
        extremes = shown(learner, x, stdp, Stream(network.wiring.time, stdp.seed, first), watch=True).extremes
        seen.append(extremes)
        first += len(x)
    if not seen:
        raise SpecError("the loader gave no image: ranges are watched on at least 1")
    every = torch.stack([each for each in seen if each is not None])
    low, high = every[..., 0].amin(0).tolist(), every[..., 1].amax(0).tolist()
    settings = parts(network).neurons.settings
    names = [node.name for node in network.wiring.of_kind("linear", "competing")]
    return [
        Range(names[1], "V_reset", settings.reset, settings.reset),
        Range(names[1], "theta", settings.theta_plus, settings.theta_plus),
        Range(names[1], "V_th", low[1], high[1]),
        Range(names[1], "V", low[0], high[0]),
        Range(names[0], "w", min(low[2], stdp.low), max(high[2], stdp.high)),
    ]
