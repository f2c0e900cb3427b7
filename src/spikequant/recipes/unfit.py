"""Which grids a state or a constant cannot take, told before one is hung."""

from torch import nn

from spikequant.errors import SpecError
from spikequant.neurons import Competing, Refraining, SecondOrder, Traces, library
from spikequant.quantizers import Membrane, QuantizerSpec
from spikequant.recipes.parts import HOLDERS, Part

STEPPED = Competing | Refraining | Traces  # whose scans read a grid once


def refuse_unfit(name: str, neuron: nn.Module, part: Part, spec: QuantizerSpec) -> None:
    """Refuse what a neuron, ours or a guest, would silently not do, or only refuse in its first pass.

    Raises:
        SpecError: says what it takes instead.

    >>> from spikequant.neurons import LIF
    >>> from spikequant.quantizers import Uniform
    >>> refuse_unfit("lif", LIF(decay=0.5), "state", Uniform(bits=4))
    """
    guest, whose = library(neuron) == "snntorch", f"a {type(neuron).__name__} neuron"
    if part not in HOLDERS:
        if spec.scope is not None:
            raise SpecError(
                f"{name}: the range of {spec.label()} follows each batch of membranes; the constant {part} takes one that stands"
            )
        return
    if spec.scope is not None and (guest or isinstance(neuron, STEPPED)):
        raise SpecError(f"{name}: the range of {spec.label()} follows each batch; {whose} takes one that stands{_adopt(guest)}")
    if spec.rounding_rule == "stochastic" and guest:
        raise SpecError(f"{name}: snnTorch names no noise to its state_quant; round to nearest, or adopt the network")
    if spec.rounding_rule == "stochastic" and isinstance(neuron, SecondOrder):
        raise SpecError(f"{name}: {spec.label()} rounds stochastically; the states of {whose} are rounded to nearest")
    if isinstance(spec, Membrane) and spec.fit == "following" and (guest or part != "state"):
        raise SpecError(f"{name}: {spec.label()} follows membranes in training, and is shown none here; take fit='calibrated'")


def _adopt(guest: bool) -> str:
    return ", or adopt the network" if guest else ""
