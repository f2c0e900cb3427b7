"""Wirings: the networks of the literature, and `adopt/`, the door through which foreign ones come in."""

from spikequant.models.activation import Activation, activations
from spikequant.models.adopt import Unrolled, adopt
from spikequant.models.decolle_net import draw_readout
from spikequant.models.network import Network
from spikequant.models.prefixes import Prefixes
from spikequant.models.table import (
    build,
    decolle,
    digits,
    names,
    resnet8,
    resnet18,
    resnet20,
    resnet50,
    sew_resnet,
    sew_resnet8,
    sew_resnet18,
    squat_dvs,
    squat_fmnist,
    squat_shd,
    stdp_net,
)
from spikequant.models.weights import read_weights
from spikequant.models.wiring import Node, Wiring, chain

__all__ = [
    "Activation",
    "Network",
    "Node",
    "Prefixes",
    "Unrolled",
    "Wiring",
    "activations",
    "adopt",
    "build",
    "chain",
    "decolle",
    "digits",
    "draw_readout",
    "names",
    "read_weights",
    "resnet8",
    "resnet18",
    "resnet20",
    "resnet50",
    "sew_resnet",
    "sew_resnet8",
    "sew_resnet18",
    "squat_dvs",
    "squat_fmnist",
    "squat_shd",
    "stdp_net",
]
