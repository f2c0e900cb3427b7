"""The small network of the demo: 8x8 digits."""

from spikequant.models.wiring import Args, Wiring, chain, firing_kind


def digits(classes: int = 10, width: int = 16, time: int = 4, lif: Args | None = None) -> Wiring:
    """Two spiking convolutions and a linear readout, for 8x8 gray images; LIF as in Beyond Accuracy (tau 2, hard reset).

    ``lif`` replaces arguments of the neurons, or their kind, as in ``sew_resnet``.

    >>> digits().of_kind("linear")[0].args["in_features"]
    128
    """
    neuron = firing_kind({"tau": 2.0, "threshold": 1.0, "reset": "value"}, lif)
    conv: Args = {"kernel_size": 3, "padding": 1, "bias": False}
    nodes = chain(
        ("encode", "encode", {"encoding": "direct"}),
        ("conv1", "conv2d", {"in_channels": 1, "out_channels": width, **conv}),
        ("norm1", "batch_norm", {"channels": width}),
        ("lif1", *neuron),
        ("pool1", "max_pool", {"kernel_size": 2}),
        ("conv2", "conv2d", {"in_channels": width, "out_channels": 2 * width, **conv}),
        ("norm2", "batch_norm", {"channels": 2 * width}),
        ("lif2", *neuron),
        ("pool2", "max_pool", {"kernel_size": 2}),
        ("flatten", "flatten", {}),
        ("readout", "linear", {"in_features": 8 * width, "out_features": classes}),
    )
    return Wiring(name="digits", time=time, input_shape=(1, 8, 8), readout="mean", nodes=nodes)
