"""The verb that examines the state of a saved network."""

from itertools import islice
from typing import Any

from spikequant.behavior import state_health
from spikequant.data import Batches
from spikequant.studies.resolve import resolve_data, resolve_model


def examine(model: str, data: str | None = None, batches: int = 4, batch_size: int = 32) -> dict[str, Any]:
    """The health of every layer's state as a record; with ``data``, on its first training samples: the test split is not read.

    Raises:
        SpecError: no such model or data, or they do not fit.

    >>> examine("digits")["layers"][0]["spec"]
    'float'
    """
    network = resolve_model(model)
    loader = None
    if data is not None:
        found = resolve_data(data, network)
        loader = list(islice(Batches(found.train, batch_size, found.scale, seed=0), batches))
    layers = [
        health._asdict()
        | {name: None if part is None else part._asdict() for name, part in (("grid", health.grid), ("use", health.use))}
        | {"advice": list(health.advice)}
        for health in state_health(network, loader)
    ]
    return {
        "version": 1,
        "model": model,
        "data": data,
        "samples": 0 if loader is None else sum(len(y) for _, y in loader),
        "layers": layers,
    }
