"""Watches firing and judges it; changes nothing."""

from spikequant.behavior.compare import compare
from spikequant.behavior.drift import Drift, LayerDrift, ReferenceLayer, TrainingFloor
from spikequant.behavior.emd import EmdParts, all_pairs, emd, emd_parts
from spikequant.behavior.extremes import extremes
from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.behavior.membranes import LevelHealth, level_health
from spikequant.behavior.operations import Operations, operations
from spikequant.behavior.recorder import record
from spikequant.behavior.state_health import Code, StateHealth, state_health
from spikequant.behavior.temporal import Timing, timing

__all__ = [
    "Code",
    "Drift",
    "EmdParts",
    "Firing",
    "LayerDrift",
    "LayerFiring",
    "LevelHealth",
    "Operations",
    "ReferenceLayer",
    "StateHealth",
    "Timing",
    "TrainingFloor",
    "all_pairs",
    "compare",
    "emd",
    "emd_parts",
    "extremes",
    "level_health",
    "operations",
    "record",
    "state_health",
    "timing",
]
