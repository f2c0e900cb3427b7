"""Grids that take their step from another: membranes from the weights before them (MINT)."""

from torch import nn

from spikequant.errors import SpecError
from spikequant.models import Network, Node, Wiring
from spikequant.neurons import spiking
from spikequant.quantizers import Quantizer
from spikequant.quantizers.thresholds import SharedStep
from spikequant.recipes.folding import gain


def share_steps(model: nn.Module) -> None:
    """Show every state of MINT the quantizer of the weights before its neuron.

    Raises:
        SpecError: a neuron is not fed by one layer of quantized weights alone, as through a batch norm, or the model has no wiring.
    """
    for name, neuron in spiking(model).items():
        if isinstance(neuron.state, SharedStep):
            if not isinstance(model, Network):
                raise SpecError(f"MINT reads from a wiring what weights feed {name}, and {type(model).__name__} has none; adopt it first")
            neuron.state.follow_weights(_weights(model, _feeding(model.wiring, name)), gain(neuron))


def check_steps(model: nn.Module) -> None:
    """Refuse a state of MINT before a neuron whose weights, fitted by now, are on no one step.

    Raises:
        SpecError: says which.
    """
    for name, neuron in spiking(model).items():
        if isinstance(neuron.state, SharedStep) and not neuron.state.needs_data:
            try:
                neuron.state.grid()
            except SpecError as error:
                raise SpecError(f"{name}: {error}") from None


def _feeding(wiring: Wiring, name: str) -> Node:
    """The layer whose currents a neuron takes, through max pools and dropout alone."""
    nodes = {node.name: node for node in wiring.nodes}
    at = nodes[nodes[name].inputs[0]]
    while at.kind in ("max_pool", "dropout"):
        at = nodes[at.inputs[0]]
    if at.kind == "batch_norm":
        raise SpecError(f"MINT: {at.name} scales every channel between the weights and {name}; set batch_norm='folded' in the recipe")
    if at.kind not in ("conv2d", "linear"):
        raise SpecError(f"MINT: {name} is fed by {at.name} ({at.kind}), and takes the step of the weights that feed it")
    return at


def _weights(model: Network, node: Node) -> Quantizer:
    held = getattr(getattr(model.get_submodule(node.name), "parametrizations", None), "weight", [None])[0]
    if not isinstance(held, Quantizer):
        raise SpecError(f"MINT: the weights of {node.name} are float and have no step to share; give the recipe weights, as LSQ")
    return held
