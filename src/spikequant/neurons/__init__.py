"""Modules that own the learnable side of a membrane; the taps by which firing is counted."""

from spikequant.neurons.competing import Competing
from spikequant.neurons.decolle import Refraining, Traces, tracing
from spikequant.neurons.guests import STAND_IN, enroll, guests, is_foreign, library, observable, rest, runs_steps, strangers, unfamiliar
from spikequant.neurons.lif import IF, LIF, HoldsGrid
from spikequant.neurons.synaptic import Alpha, ParametricLIF, SecondOrder, Synaptic
from spikequant.neurons.tap import CountListener, Listener, spiking, tally, tap
from spikequant.neurons.trained import TrainedThreshold
from spikequant.numerics import kernels_in_use

__all__ = [
    "IF",
    "LIF",
    "STAND_IN",
    "Alpha",
    "Competing",
    "CountListener",
    "HoldsGrid",
    "Listener",
    "ParametricLIF",
    "Refraining",
    "SecondOrder",
    "Synaptic",
    "Traces",
    "TrainedThreshold",
    "enroll",
    "guests",
    "is_foreign",
    "kernels_in_use",
    "library",
    "observable",
    "rest",
    "runs_steps",
    "spiking",
    "strangers",
    "tally",
    "tap",
    "tracing",
    "unfamiliar",
]
