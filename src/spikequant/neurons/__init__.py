"""Modules that own the learnable side of a membrane; the tap by which firing is counted."""

from spikequant.neurons.lif import IF, LIF, HoldsGrid
from spikequant.neurons.tap import Listener, spiking, tap
from spikequant.numerics import kernels_in_use

__all__ = ["IF", "LIF", "HoldsGrid", "Listener", "kernels_in_use", "spiking", "tap"]
