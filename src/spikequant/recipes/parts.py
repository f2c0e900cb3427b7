"""Which variables and constants each kind of neuron has that a grid can take, and by which names recipes know them."""

from typing import Literal, NamedTuple

from torch import nn

from spikequant.neurons import Alpha, Competing, Refraining, SecondOrder, Synaptic, Traces, library, observable, spiking, tracing
from spikequant.recipes import foreign
from spikequant.recipes.recipe import Constant, Variable

Changing = Literal["state", "current", "bound", "p", "q", "r"]
Part = Literal["weights", "biases", "activations"] | Changing | Constant
NAMES: dict[Part, str] = {"weights": "weight", "biases": "bias"}
HOLDERS: dict[Part, str] = {"state": "state", "current": "synapse_state", "bound": "threshold_state"}
HOLDERS |= {"p": "p_state", "q": "q_state", "r": "r_state"}
VARIABLES: dict[Changing, Variable] = {"state": "v", "current": "i", "bound": "threshold", "p": "p", "q": "q", "r": "r"}


class Parts(NamedTuple):
    """What a neuron, or the traces before it, have."""

    variables: tuple[Changing, ...]
    constants: tuple[Constant, ...]

    @property
    def named(self) -> tuple[Constant, ...]:
        """What a recipe may name among its constants: an adaptive threshold, too."""
        return ("threshold", *self.constants) if "bound" in self.variables else self.constants


def parts(model: nn.Module) -> dict[str, Parts]:
    """What every neuron of a model has, ours and guests', and then what traces have, by name.

    >>> from spikequant.neurons import LIF
    >>> parts(nn.Sequential(LIF(decay=0.5)))
    {'0': Parts(variables=('state',), constants=('threshold', 'decay'))}
    """
    return {name: _of(neuron) for name, neuron in {**observable(model), **stateful(model)}.items()}


def stateful(model: nn.Module) -> dict[str, nn.Module]:
    """The neurons of ours, and the traces before them, by name: all that hold states."""
    return {**spiking(model), **tracing(model)}


def _of(neuron: nn.Module) -> Parts:
    if library(neuron):
        return Parts(("state",), tuple(foreign.constants_of(neuron)))
    if isinstance(neuron, Traces):
        return Parts(("p", "q"), ("alpha", "beta"))
    if isinstance(neuron, Refraining):
        return Parts(("state", "r"), ("gamma",))
    if isinstance(neuron, Competing):
        return Parts(("state", "bound"), ("reset", "theta"))
    more: tuple[Constant, ...] = ("inhibitory",) if isinstance(neuron, Alpha) else ()
    if isinstance(neuron, Synaptic) and neuron.has_synapse:
        more = ("synapse",)
    currents: tuple[Changing, ...] = ("current",) if isinstance(neuron, SecondOrder) and neuron.currents else ()
    return Parts(("state", *currents), ("threshold", "decay", *more))
