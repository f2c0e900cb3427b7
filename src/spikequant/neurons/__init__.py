"""Modules that own the learnable side of a membrane; the taps by which firing is counted."""

from spikequant.neurons.lif import IF, LIF, HoldsGrid
from spikequant.neurons.synaptic import Alpha, ParametricLIF, SecondOrder, Synaptic, lapicque
from spikequant.neurons.tap import CountListener, Listener, spiking, tally, tap
from spikequant.numerics import kernels_in_use

__all__ = [
    "IF",
    "LIF",
    "Alpha",
    "CountListener",
    "HoldsGrid",
    "Listener",
    "ParametricLIF",
    "SecondOrder",
    "Synaptic",
    "kernels_in_use",
    "lapicque",
    "spiking",
    "tally",
    "tap",
]
