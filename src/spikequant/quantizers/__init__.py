"""Specs, and modules that own the learnable or fitted side of a grid."""

from typing import TYPE_CHECKING, Any

from spikequant.quantizers.spec import Spec
from spikequant.quantizers.specs import (
    LSQ,
    MINT,
    Anchored,
    AnySpec,
    Binary,
    FixedPoint,
    LQNet,
    Membrane,
    QSNNBinary,
    QSNNMembrane,
    QuantizerSpec,
    ReScaW,
    SpikeFit,
    SpQuant,
    ThresholdCentered,
    Uniform,
    ZeroCentered,
    integer_bits,
)

if TYPE_CHECKING:
    from spikequant.quantizers.learned import LearnedBasis, TwoLevels
    from spikequant.quantizers.modules import Fitted, Quantizer
    from spikequant.quantizers.state_quant import StateQuant

__all__ = [
    "LSQ",
    "MINT",
    "Anchored",
    "AnySpec",
    "Binary",
    "Fitted",
    "FixedPoint",
    "LQNet",
    "LearnedBasis",
    "Membrane",
    "QSNNBinary",
    "QSNNMembrane",
    "Quantizer",
    "QuantizerSpec",
    "ReScaW",
    "SpQuant",
    "Spec",
    "SpikeFit",
    "StateQuant",
    "ThresholdCentered",
    "TwoLevels",
    "Uniform",
    "ZeroCentered",
    "integer_bits",
]


def __getattr__(name: str) -> Any:
    """The modules load torch; specs must not (house rule: specs are imported without torch)."""
    if name in ("Quantizer", "Fitted"):
        from spikequant.quantizers import modules

        return getattr(modules, name)
    if name in ("LearnedBasis", "TwoLevels"):
        from spikequant.quantizers import learned

        return getattr(learned, name)
    if name == "StateQuant":
        from spikequant.quantizers import state_quant

        return state_quant.StateQuant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
