"""What a network moves while it runs one sample: bits of weights and states, read and written."""

from collections.abc import Mapping
from typing import NamedTuple

from spikequant.errors import MismatchError
from spikequant.models import Network
from spikequant.recipes.ledger import values, widths
from spikequant.recipes.parts import HOLDERS, stateful


class Traffic(NamedTuple):
    """Bits moved for one sample: each weight when a spike uses it; each state read and written once a time step."""

    weight_bits: float
    state_bits: float

    @property
    def total_bits(self) -> float:
        """Both."""
        return self.weight_bits + self.state_bits


def traffic(model: Network, used: Mapping[str, float]) -> Traffic:
    """The traffic of one sample; ``used`` are the weights read by each layer, as ``spikequant.behavior`` counts them.

    Equation: ``sum over layers of used * weight bits + 2 * steps * sum over neurons of state bits``. One convention among
    several: no cache, no reuse of a weight for two spikes.

    Raises:
        MismatchError: ``used`` lacks a layer.

    >>> from spikequant.models import build
    >>> network = build("digits")
    >>> traffic(network, {"conv1": 10, "conv2": 0, "readout": 0}).weight_bits
    320.0
    """
    bits, shapes, neurons = widths(model), model.shapes(), stateful(model)
    weights = {layer: width for (layer, part), width in bits.items() if part == "weights"}
    absent = [layer for layer in weights if layer not in used]
    if absent:
        raise MismatchError(f"no count of operations for {', '.join(absent)}; counted are {', '.join(used)}")
    moved = sum(used[layer] * width for layer, width in weights.items())
    states = sum(values(neurons[layer], part, shapes[layer]) * width for (layer, part), width in bits.items() if part in HOLDERS)
    return Traffic(float(moved), 2.0 * model.wiring.time * states)
