"""The verb ranges: run the workload, and say which values the parameters take."""

from typing import Any

from spikequant.data import Batches
from spikequant.errors import SpecError
from spikequant.recipes import observe_ranges
from spikequant.studies.resolve import resolve_data, resolve_model
from spikequant.training import Stdp, learning_ranges

BATCH = 100


def ranges(model: str, data: str, images: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """One row for each parameter: layer, parameter, lowest and highest value, integer bits; on training images only.

    A network of neurons that compete learns while it is watched, for its threshold grows only then.

    Raises:
        SpecError: no such model or data, they do not fit, or no image is asked for.
    """
    if images < 1:
        raise SpecError(f"images {images} must be at least 1")
    network = resolve_model(model, seed)
    found = resolve_data(data, network)
    loader = Batches(found.train._replace(x=found.train.x[:images], y=found.train.y[:images]), BATCH, found.scale)
    competing = bool(network.wiring.of_kind("competing"))
    rows = learning_ranges(network, loader, Stdp(seed=seed)) if competing else observe_ranges(network, loader, len(loader))
    return [{**each._asdict(), "integer_bits": each.integer} for each in rows]
