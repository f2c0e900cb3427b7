"""Whatever changes weights, ranges or thresholds: supervised QAT, local rules (DECOLLE), STDP, progressive freezing, rate correction."""

import importlib
from typing import TYPE_CHECKING, Any

from spikequant.training.events import Epoch, Event, Finished, Froze, History, Step, Stopped
from spikequant.training.plasticity import Decolle, Stdp
from spikequant.training.spec import Correction, Freezing, LossName, Pruning, Rates, Training

if TYPE_CHECKING:
    from spikequant.training.accuracy import evaluate as evaluate
    from spikequant.training.accuracy import judged as judged
    from spikequant.training.assignment import assign as assign
    from spikequant.training.assignment import voted as voted
    from spikequant.training.batch_sizes import accuracy_by_batch as accuracy_by_batch
    from spikequant.training.correction import correct_rates as correct_rates
    from spikequant.training.decolle import learn_locally as learn_locally
    from spikequant.training.extremes import learning_ranges as learning_ranges
    from spikequant.training.loop import fit as fit
    from spikequant.training.loop import train as train
    from spikequant.training.losses import LOSSES as LOSSES
    from spikequant.training.outputs import Loader as Loader
    from spikequant.training.pruning import channel_scores as channel_scores
    from spikequant.training.pruning import prune as prune
    from spikequant.training.rates import rate_distance as rate_distance
    from spikequant.training.rates import recorded as recorded
    from spikequant.training.stdp import Showing as Showing
    from spikequant.training.stdp import learn as learn
    from spikequant.training.stdp import respond as respond

__all__ = [
    "LOSSES",
    "Correction",
    "Decolle",
    "Epoch",
    "Event",
    "Finished",
    "Freezing",
    "Froze",
    "History",
    "Loader",
    "LossName",
    "Pruning",
    "Rates",
    "Showing",
    "Stdp",
    "Step",
    "Stopped",
    "Training",
    "accuracy_by_batch",
    "assign",
    "channel_scores",
    "correct_rates",
    "evaluate",
    "fit",
    "judged",
    "learn",
    "learn_locally",
    "learning_ranges",
    "prune",
    "rate_distance",
    "recorded",
    "respond",
    "train",
    "voted",
]

_FILES = {
    "learning_ranges": "spikequant.training.extremes",
    "Showing": "spikequant.training.stdp",
    "assign": "spikequant.training.assignment",
    "learn": "spikequant.training.stdp",
    "learn_locally": "spikequant.training.decolle",
    "respond": "spikequant.training.stdp",
    "voted": "spikequant.training.assignment",
    "LOSSES": "spikequant.training.losses",
    "Loader": "spikequant.training.outputs",
    "accuracy_by_batch": "spikequant.training.batch_sizes",
    "correct_rates": "spikequant.training.correction",
    "evaluate": "spikequant.training.accuracy",
    "fit": "spikequant.training.loop",
    "judged": "spikequant.training.accuracy",
    "channel_scores": "spikequant.training.pruning",
    "prune": "spikequant.training.pruning",
    "rate_distance": "spikequant.training.rates",
    "recorded": "spikequant.training.rates",
    "train": "spikequant.training.loop",
}


def __getattr__(name: str) -> Any:
    """What trains loads torch; the spec must not."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(_FILES[name]), name)
    return value
