"""The unsupervised network of Q-SpiNN: one layer of neurons that compete, after Diehl & Cook (2015)."""

import torch

from spikequant.models.network import Network
from spikequant.models.wiring import Args, Wiring, chain

TOTAL = 78.4  # to which the weights into each neuron sum, for 784 inputs


def stdp_net(
    inputs: int = 784,
    neurons: int = 400,
    classes: int = 10,
    time: int = 250,
    rate_hz: float = 128.0,
    reading: str = "current",
    inhibition: float = 120.0,
) -> Wiring:
    """``inputs`` pixels as Poisson spikes of at most ``rate_hz``, ``neurons`` with direct lateral inhibition, votes of labeled neurons.

    Constants are BindsNET's, as the paper's ranges say, with V_reset -65 mV. The paper gives neither presentation time nor strength of
    inhibition: 250 steps of 1 ms and 120 mV are those of BindsNET's MNIST example. Source: Q-SpiNN, Fig. 1(a), Table I.

    >>> [node.kind for node in stdp_net().nodes]
    ['encode', 'flatten', 'linear', 'competing', 'vote']
    """
    side = round(inputs**0.5)
    shape = (1, side, side) if side * side == inputs else (inputs,)
    competing: Args = {"neurons": neurons, "inhibition": inhibition, "reading": reading}
    nodes = chain(
        ("encode", "encode", {"encoding": "rate", "scale": rate_hz / 1000}),
        ("flatten", "flatten", {}),
        ("synapses", "linear", {"in_features": inputs, "out_features": neurons, "bias": False}),
        ("excitatory", "competing", competing),
        ("vote", "vote", {"neurons": neurons, "classes": classes}),
    )
    return Wiring(name="stdp-net", time=time, input_shape=shape, readout="count", nodes=nodes)


def initialize(network: Network) -> None:
    """Weights drawn evenly, then scaled to the same total into every neuron."""
    weight = network.get_submodule("synapses").get_parameter("weight")
    drawn = torch.rand_like(weight)
    total = TOTAL * weight.shape[1] / 784
    weight.data.copy_(drawn * (total / drawn.sum(1, keepdim=True)))
