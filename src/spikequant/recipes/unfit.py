"""Which grids a tensor, a state or a constant cannot take, told by the plan, before one is hung."""

from torch import nn

from spikequant.errors import SpecError
from spikequant.neurons import LIF, Competing, Refraining, SecondOrder, Traces, library
from spikequant.quantizers import Membrane, QuantizerSpec
from spikequant.recipes.parts import HOLDERS, Part

STEPPED = Competing | Refraining | Traces  # whose scans read a grid once


def refuse_unfit(name: str, owner: nn.Module, part: Part, spec: QuantizerSpec) -> None:
    """Refuse what its owner, ours or a guest, would silently not do, or only refuse in its first pass.

    Raises:
        SpecError: says what it takes instead.

    >>> from spikequant.neurons import LIF
    >>> from spikequant.quantizers import Uniform
    >>> refuse_unfit("lif", LIF(decay=0.5), "state", Uniform(bits=4))
    """
    try:
        if part in HOLDERS:
            _refuse_state(owner, part, spec)
        elif spec.scope is not None:
            raise SpecError(f"the range of {spec.label()} follows each batch of membranes; its {part} must have one that stands")
        elif isinstance(owner, LIF):
            owner.refuse_constant(part)
    except SpecError as error:
        raise SpecError(f"{name}: {error}") from None


def _refuse_state(neuron: nn.Module, part: Part, spec: QuantizerSpec) -> None:
    guest, whose = library(neuron) == "snntorch", f"a {type(neuron).__name__} neuron"
    if spec.scope is not None and (guest or isinstance(neuron, STEPPED)):
        way = ", or adopt the network" if guest else ""
        raise SpecError(f"the range of {spec.label()} follows each batch; {whose} takes one that stands{way}")
    if spec.rounding_rule == "stochastic" and guest:
        raise SpecError("snnTorch names no noise to its state_quant; round to nearest, or adopt the network")
    if spec.rounding_rule == "stochastic" and isinstance(neuron, SecondOrder):
        raise SpecError(f"{spec.label()} rounds stochastically; the states of {whose} are rounded to nearest")
    if isinstance(spec, Membrane) and spec.fit == "following" and (guest or part != "state"):
        raise SpecError(f"{spec.label()} follows membranes in training, and is shown none here; take fit='calibrated'")
