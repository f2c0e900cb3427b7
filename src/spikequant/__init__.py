"""Spiking neural networks from float to a few bits, in weights and neuron state, with their firing watched.

The names below are the public face. Each is loaded from its room on first use, so importing spikequant loads no torch.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from spikequant.errors import nearest

if TYPE_CHECKING:
    from spikequant import models as models
    from spikequant.behavior import Drift as Drift
    from spikequant.behavior import compare as compare
    from spikequant.behavior import emd as emd
    from spikequant.behavior import record as record
    from spikequant.deploy import Pixels as Pixels
    from spikequant.deploy import Program as Program
    from spikequant.deploy import lower as lower
    from spikequant.neurons import IF as IF
    from spikequant.neurons import LIF as LIF
    from spikequant.quantizers import LSQ as LSQ
    from spikequant.quantizers import MINT as MINT
    from spikequant.quantizers import Anchored as Anchored
    from spikequant.quantizers import Binary as Binary
    from spikequant.quantizers import FixedPoint as FixedPoint
    from spikequant.quantizers import LQNet as LQNet
    from spikequant.quantizers import Membrane as Membrane
    from spikequant.quantizers import QSNNBinary as QSNNBinary
    from spikequant.quantizers import QSNNMembrane as QSNNMembrane
    from spikequant.quantizers import ReScaW as ReScaW
    from spikequant.quantizers import SpikeFit as SpikeFit
    from spikequant.quantizers import SpQuant as SpQuant
    from spikequant.quantizers import StateQuant as StateQuant
    from spikequant.quantizers import ThresholdCentered as ThresholdCentered
    from spikequant.quantizers import Uniform as Uniform
    from spikequant.quantizers import ZeroCentered as ZeroCentered
    from spikequant.recipes import Recipe as Recipe
    from spikequant.recipes import Space as Space
    from spikequant.recipes import bake as bake
    from spikequant.recipes import load as load
    from spikequant.recipes import memory as memory
    from spikequant.recipes import quantize as quantize
    from spikequant.recipes import save as save
    from spikequant.studies import Exploration as Exploration
    from spikequant.studies import Loaders as Loaders
    from spikequant.studies import explore as explore
    from spikequant.training import Training as Training
    from spikequant.training import evaluate as evaluate
    from spikequant.training import fit as fit
    from spikequant.views.report import write_report as write_report

__version__ = "0.1.0"

_ROOMS = {
    "Anchored": "spikequant.quantizers",
    "Binary": "spikequant.quantizers",
    "Drift": "spikequant.behavior",
    "Exploration": "spikequant.studies",
    "FixedPoint": "spikequant.quantizers",
    "IF": "spikequant.neurons",
    "LIF": "spikequant.neurons",
    "LQNet": "spikequant.quantizers",
    "LSQ": "spikequant.quantizers",
    "Loaders": "spikequant.studies",
    "MINT": "spikequant.quantizers",
    "Membrane": "spikequant.quantizers",
    "Pixels": "spikequant.deploy",
    "Program": "spikequant.deploy",
    "QSNNBinary": "spikequant.quantizers",
    "QSNNMembrane": "spikequant.quantizers",
    "ReScaW": "spikequant.quantizers",
    "Recipe": "spikequant.recipes",
    "SpQuant": "spikequant.quantizers",
    "Space": "spikequant.recipes",
    "SpikeFit": "spikequant.quantizers",
    "StateQuant": "spikequant.quantizers",
    "ThresholdCentered": "spikequant.quantizers",
    "Training": "spikequant.training",
    "Uniform": "spikequant.quantizers",
    "ZeroCentered": "spikequant.quantizers",
    "bake": "spikequant.recipes",
    "compare": "spikequant.behavior",
    "emd": "spikequant.behavior",
    "evaluate": "spikequant.training",
    "explore": "spikequant.studies",
    "fit": "spikequant.training",
    "load": "spikequant.recipes",
    "lower": "spikequant.deploy",
    "memory": "spikequant.recipes",
    "models": "spikequant.models",
    "quantize": "spikequant.recipes",
    "record": "spikequant.behavior",
    "save": "spikequant.recipes",
    "write_report": "spikequant.views.report",
}

# Results that a notebook shows as figure and table: their rooms know nothing of it, so it is here that they are given it, room by room.
_DRAWN = frozenset({"Drift", "Exploration", "Program", "StudyEnded"})
_DRAWING = "spikequant.views.notebook"

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'spikequant' has no attribute {name!r}{nearest(name, _ROOMS)}")
    module = importlib.import_module(_ROOMS[name])
    value: object = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def _repr_html_(result: object) -> str:
    """A figure and a table of a result, for a notebook."""
    drawn: str = importlib.import_module(_DRAWING).html(result)
    return drawn


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """This package, which Python tells of every room as soon as it is loaded, by whatever import."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if isinstance(value, ModuleType):
            for drawn in _DRAWN & vars(value).keys():
                getattr(value, drawn)._repr_html_ = _repr_html_


sys.modules[__name__].__class__ = _Package
