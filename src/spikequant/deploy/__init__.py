"""A trained network as integers, and out of Python."""

from spikequant.deploy.program import Program

__all__ = ["Program"]
