"""What a grid that follows membranes has kept of rest and threshold, and whether its fit was possible at all."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikequant.behavior.recorder import watching
from spikequant.errors import SpecError
from spikequant.neurons import LIF, spiking
from spikequant.numerics import Table, encode, levels, lq_grid

Loader = Iterable[tuple[Tensor, Tensor]]


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
        SpecError: no state has a grid.

    >>> from spikequant.quantizers import Uniform
    >>> model = nn.Sequential(LIF(decay=0.5, state=Uniform(bits=2, low=-1.0, high=1.0)))
    >>> health = level_health(model, [(torch.ones(4, 1, 1), torch.zeros(1))])[0]
    >>> round(health.rest_missed, 3), health.threshold_missed, health.unused
    (0.333, 0.0, 0.75)
    """
    seen: dict[str, list[Tensor]] = {name: [] for name, neuron in spiking(model).items() if neuron.state is not None}
    if not seen:
        raise SpecError("no state of the model has a grid; quantize it with a recipe that names state")
    neurons = spiking(model)
    handles = [neurons[name].register_forward_pre_hook(_keep(kept)) for name, kept in seen.items()]
    try:
        with watching(model):
            for _, (x, _) in zip(range(batches), loader, strict=False):
                model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [_examined(name, neurons[name], torch.cat(kept, dim=1)) for name, kept in seen.items()]


class _keep:
    def __init__(self, kept: list[Tensor]) -> None:
        self.kept = kept

    def __call__(self, neuron: nn.Module, inputs: tuple[Tensor, int | None]) -> None:
        if isinstance(neuron, LIF):
            self.kept.append(neuron.charged(*inputs, on_grid=True))


def _examined(name: str, neuron: LIF, membranes: Tensor) -> LevelHealth:
    """``membranes`` are ``[time, batch, channel, *space]``."""
    assert neuron.state is not None  # only such neurons are watched
    with torch.no_grad():
        grid = neuron.state.grid()
        values, threshold = levels(grid), float(neuron.threshold.max())
        flat = membranes.flatten(0, 1)
        codes = encode(grid, flat).movedim(1, 0).flatten(1).long()
    rows = values.expand(len(codes), -1) if values.ndim == 1 else values
    used = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, codes, torch.ones_like(codes, dtype=torch.bool))
    taken = used.any(0) if values.ndim == 1 else used
    each = membranes.flatten(1).std(1, correction=0)
    shift = float((each.max() - each.min()) / each.mean()) if each.mean() > 0 else 0.0
    missed = [float((values - where).abs().amin(-1).max()) / threshold for where in (0.0, threshold)]
    return LevelHealth(name, missed[0], missed[1], float((~taken).float().mean()), _singular(neuron.state, grid, used), shift)


def _singular(state: object, grid: object, used: Tensor) -> float | None:
    basis = getattr(state, "basis", None)
    if not isinstance(basis, Tensor) or not isinstance(grid, Table):
        return None
    patterns = lq_grid(basis, grid.axis)[1] * used.unsqueeze(-1)
    return float((torch.linalg.matrix_rank(patterns) < basis.shape[1]).float().mean())
