"""The specs: one frozen description for each method of choosing a grid."""

from typing import Annotated

from pydantic import Field, SerializeAsAny, WrapValidator

from spikequant.quantizers.specs.affine import Anchored, FixedPoint, Uniform, integer_bits
from spikequant.quantizers.specs.base import Observing, QuantizerSpec, RangedSpec
from spikequant.quantizers.specs.baselines import MINT, QSNNBinary, QSNNMembrane, ReScaW, SpikeFit, SpQuant
from spikequant.quantizers.specs.binary import Binary
from spikequant.quantizers.specs.exponential import Exponential, ThresholdCentered, ZeroCentered
from spikequant.quantizers.specs.learned import LSQ, LQNet
from spikequant.quantizers.specs.membrane import Membrane
from spikequant.quantizers.specs.own import own

Shipped = (
    Uniform
    | FixedPoint
    | LQNet
    | LSQ
    | ThresholdCentered
    | ZeroCentered
    | Anchored
    | Membrane
    | Binary
    | QSNNBinary
    | QSNNMembrane
    | ReScaW
    | SpQuant
    | MINT
    | SpikeFit
)
AnySpec = Annotated[Shipped, Field(discriminator="kind"), WrapValidator(own), SerializeAsAny()]

__all__ = [
    "LSQ",
    "MINT",
    "Anchored",
    "AnySpec",
    "Binary",
    "Exponential",
    "FixedPoint",
    "LQNet",
    "Membrane",
    "Observing",
    "QSNNBinary",
    "QSNNMembrane",
    "QuantizerSpec",
    "RangedSpec",
    "ReScaW",
    "SpQuant",
    "SpikeFit",
    "ThresholdCentered",
    "Uniform",
    "ZeroCentered",
    "integer_bits",
]
