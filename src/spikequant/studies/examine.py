"""The state of networks, examined: the verb, and what a report shows of it."""

from itertools import islice
from typing import Any

from torch import Tensor, nn

from spikequant.behavior import StateHealth, state_health
from spikequant.data import Batches, DataSet
from spikequant.errors import SpecError
from spikequant.neurons import spiking
from spikequant.studies.resolve import resolve_data, resolve_model

SAMPLES = 128  # of a report, in a batch


def examine(model: str, data: str | None = None, batches: int = 4, batch_size: int = 32) -> dict[str, Any]:
    """The health of every layer's state as a record; with ``data``, on its first training samples: the test split is not read.

    Raises:
        SpecError: no such model or data, they do not fit, or no batch is asked for.

    >>> examine("digits")["layers"][0]["spec"]
    'float'
    """
    if batches < 1:
        raise SpecError(f"batches {batches} must be at least 1")
    network = resolve_model(model)
    loader = None
    if data is not None:
        loader = _samples(resolve_data(data, network), batches, batch_size)
    return {
        "version": 1,
        "model": model,
        "data": data,
        "samples": 0 if loader is None else sum(len(y) for _, y in loader),
        "layers": [_document(health) for health in state_health(network, loader)],
    }


def states(network: nn.Module, data: DataSet, batches: int = 1) -> list[dict[str, Any]]:
    """The health of every layer on training samples, as a report shows it; nothing where no state is quantized."""
    if not any(neuron.state is not None for neuron in spiking(network).values()):
        return []
    return [_document(health) for health in state_health(network, _samples(data, batches, SAMPLES))]


def _samples(data: DataSet, batches: int, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    return list(islice(Batches(data.train, batch_size, data.scale, seed=0), batches))


def _document(health: StateHealth) -> dict[str, Any]:
    parts = {name: None if part is None else part._asdict() for name, part in (("grid", health.grid), ("use", health.use))}
    return health._asdict() | parts | {"advice": list(health.advice), "occupancy": [list(code) for code in health.occupancy]}
