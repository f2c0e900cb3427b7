"""A trained network as integers, and out of Python."""

from spikequant.deploy.checking import Check, Divergence
from spikequant.deploy.executor import Executor
from spikequant.deploy.lowering import lower
from spikequant.deploy.program import Program
from spikequant.deploy.simulation import Simulation
from spikequant.deploy.transcribing import Pixels

__all__ = ["Check", "Divergence", "Executor", "Pixels", "Program", "Simulation", "lower"]
