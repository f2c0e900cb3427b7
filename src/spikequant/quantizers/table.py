"""The registry of this room: which module owns the grid of which kind of spec."""

from collections.abc import Callable
from typing import Any

from spikequant.quantizers.baselines import Clustered, Rescaled, Squashed, Standardized
from spikequant.quantizers.following import Following
from spikequant.quantizers.learned import LearnedBasis, LearnedStep, TwoLevels
from spikequant.quantizers.membrane import MembraneLevels
from spikequant.quantizers.modules import Fitted, Fixed, Quantizer
from spikequant.quantizers.specs import (
    LSQ,
    MINT,
    Anchored,
    Binary,
    Exponential,
    FixedPoint,
    LQNet,
    Membrane,
    QSNNBinary,
    QSNNMembrane,
    QuantizerSpec,
    RangedSpec,
    ReScaW,
    SpikeFit,
    SpQuant,
    ThresholdCentered,
    Uniform,
    ZeroCentered,
)
from spikequant.quantizers.thresholds import SharedStep, spquant

SPECS: dict[str, type[QuantizerSpec]] = {
    "uniform": Uniform,
    "fixed_point": FixedPoint,
    "lqnet": LQNet,
    "lsq": LSQ,
    "threshold_centered": ThresholdCentered,
    "zero_centered": ZeroCentered,
    "anchored": Anchored,
    "membrane": Membrane,
    "binary": Binary,
    "q_snn_binary": QSNNBinary,
    "q_snn_membrane": QSNNMembrane,
    "rescaw": ReScaW,
    "spquant": SpQuant,
    "mint": MINT,
    "spikefit": SpikeFit,
}

Build = Callable[[Any, tuple[int, ...], int], Quantizer]


def _uniform(spec: Uniform, shape: tuple[int, ...], axis: int) -> Quantizer:
    if spec.scope is not None:
        return Following(spec, shape, axis)
    return Fitted(spec, shape, axis) if spec.low is None else Fixed(spec, shape, axis)


def _exponential(spec: Exponential, shape: tuple[int, ...], axis: int) -> Quantizer:
    if spec.scope is not None:
        return Following(spec, shape, axis)
    return Fitted(spec, shape, axis) if spec.range == "frozen" else Fixed(spec, shape, axis)


def _fixed_point(spec: FixedPoint, shape: tuple[int, ...], axis: int) -> Quantizer:
    return Fitted(spec, shape, axis) if spec.integer is None else Fixed(spec, shape, axis)


def default(spec: QuantizerSpec, shape: tuple[int, ...], axis: int) -> Quantizer:
    """The module of a user's spec that does not build its own: fitted where it has a range, else fixed."""
    return Fitted(spec, shape, axis) if isinstance(spec, RangedSpec) else Fixed(spec, shape, axis)


MODULES: dict[str, Build] = {
    "uniform": _uniform,
    "fixed_point": _fixed_point,
    "lqnet": LearnedBasis,
    "lsq": LearnedStep,
    "threshold_centered": _exponential,
    "zero_centered": _exponential,
    "anchored": Fixed,
    "membrane": MembraneLevels,
    "binary": TwoLevels,
    "q_snn_binary": Standardized,
    "q_snn_membrane": Squashed,
    "rescaw": Rescaled,
    "spquant": spquant,
    "mint": SharedStep,
    "spikefit": Clustered,
}
