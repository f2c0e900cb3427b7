"""Modules that own the learnable side of a membrane; the tap by which firing is counted."""

from spikequant.neurons.lif import IF, LIF, HoldsGrid
from spikequant.neurons.tap import Listener, spiking, tap

__all__ = ["IF", "LIF", "HoldsGrid", "Listener", "spiking", "tap"]
