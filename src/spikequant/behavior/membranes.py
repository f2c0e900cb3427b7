"""What a grid that follows membranes has kept of rest and threshold, and whether its fit was possible at all."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.behavior.charges import show
from spikequant.behavior.recorder import Loader, first
from spikequant.errors import SpecError
from spikequant.neurons import LIF, spiking
from spikequant.numerics import Table, encode, levels, lq_grid


class LevelHealth(NamedTuple):
    """One layer: ``rest_missed`` and ``threshold_missed``, distance of the nearest level in thresholds, worst channel; ``unused``,
    share of levels that no membrane takes; ``singular``, share of channels whose codes leave LQ-Net's normal equations without
    full rank (None for other grids); ``step_shift``, how far the deviations of single time steps lie apart, in their mean.
    """

    layer: str
    rest_missed: float
    threshold_missed: float
    unused: float
    singular: float | None
    step_shift: float


def level_health(model: nn.Module, loader: Loader, batches: int = 20) -> list[LevelHealth]:
    """Every layer whose state has a grid, on the membranes before they are rounded of the first batches of a loader.

    Raises:
        SpecError: no state has a grid, or there is no batch.
        MismatchError: a neuron saw nothing, or stands in for a guest.

    >>> from spikequant.quantizers import Uniform
    >>> model = nn.Sequential(LIF(decay=0.5, state=Uniform(bits=2, low=-1.0, high=1.0)))
    >>> health = level_health(model, [(torch.ones(4, 1, 1), torch.zeros(1))])[0]
    >>> round(health.rest_missed, 3), health.threshold_missed, health.unused
    (0.333, 0.0, 0.75)
    """
    neurons = {name: neuron for name, neuron in spiking(model).items() if neuron.state is not None}
    if not neurons:
        raise SpecError("no state of the model has a grid; quantize it with a recipe that names state")
    seen = {name: _Seen(neuron) for name, neuron in neurons.items()}
    show(model, seen, first(loader, batches))
    return [each.health(name) for name, each in seen.items()]


class _Seen:
    """Which levels the membranes ``[time, batch, channel, *space]`` of one neuron take, and their moments at each step."""

    def __init__(self, neuron: LIF) -> None:
        assert neuron.state is not None  # only such neurons are watched
        self.neuron, self.grid = neuron, neuron.state.grid()
        self.used, self.moments = torch.zeros(1, 1, dtype=torch.bool), torch.zeros(3, 1, dtype=torch.float64)

    def __call__(self, v: Tensor) -> None:
        codes = encode(self.grid, v.flatten(0, 1)).movedim(1, 0).flatten(1).long()
        used = torch.zeros(len(codes), self.grid.size, dtype=torch.bool, device=codes.device)
        self.used = self.used | used.scatter_(1, codes, torch.ones_like(codes, dtype=torch.bool)).cpu()
        steps = v.flatten(1).double()
        self.moments = self.moments + torch.stack([torch.full((len(v),), steps.shape[1]), steps.sum(1).cpu(), (steps**2).sum(1).cpu()])

    def health(self, name: str) -> LevelHealth:
        """What was seen."""
        values, thresholds = levels(self.grid).detach().cpu(), self.neuron.fires_at.detach().cpu()
        taken = self.used.any(0) if values.ndim == 1 else self.used
        count, total, squares = self.moments
        each = (squares / count - (total / count) ** 2).clamp(min=0).sqrt()
        shift = float((each.max() - each.min()) / each.mean()) if each.mean() > 0 else 0.0
        off = [(values - where.unsqueeze(-1)).abs().amin(-1).double() for where in (torch.zeros(()), thresholds)]
        missed = [float((each / thresholds).max()) for each in off]
        singular = _singular(self.neuron.state, self.grid, self.used)
        return LevelHealth(name, missed[0], missed[1], float((~taken).float().mean()), singular, shift)


def _singular(state: object, grid: object, used: Tensor) -> float | None:
    basis = getattr(state, "basis", None)
    if not isinstance(basis, Tensor) or not isinstance(grid, Table):
        return None
    patterns = lq_grid(basis.cpu(), grid.axis)[1] * used.unsqueeze(-1)
    return float((torch.linalg.matrix_rank(patterns) < basis.shape[1]).float().mean())
