"""Wirings: the networks of the literature, and `adopt/`, the door through which foreign ones come in."""

from spikequant.models.network import Network
from spikequant.models.table import build, digits, names, squat_fmnist
from spikequant.models.wiring import Node, Wiring, chain

__all__ = ["Network", "Node", "Wiring", "build", "chain", "digits", "names", "squat_fmnist"]
