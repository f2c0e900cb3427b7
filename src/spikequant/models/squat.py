"""The networks of SQUAT."""

from spikequant.models.wiring import Args, Wiring, chain


def squat_fmnist(classes: int = 10, time: int = 25, decay: float = 0.5, threshold: float = 2.5, slope: float = 2.0) -> Wiring:
    """16C5-MP2-64C5-MP2-1024-10 with batch norm and spike-count output, for 28x28 gray images (SQUAT, section III-D).

    Neurons follow snnTorch's ``Leaky``: reset by subtraction one step later, strict comparison. The paper gives no decay and
    threshold; these defaults had the least training loss of nine settings after 100 steps (docs/decisions/0005).

    >>> squat_fmnist().time, squat_fmnist().readout
    (25, 'count')
    """
    lif: Args = {"decay": decay, "threshold": threshold, "reset_timing": "next", "compare": ">", "slope": slope}
    nodes = chain(
        ("encode", "encode", {"encoding": "direct"}),
        ("conv1", "conv2d", {"in_channels": 1, "out_channels": 16, "kernel_size": 5}),
        ("norm1", "batch_norm", {"channels": 16}),
        ("lif1", "lif", lif),
        ("pool1", "max_pool", {"kernel_size": 2}),
        ("conv2", "conv2d", {"in_channels": 16, "out_channels": 64, "kernel_size": 5}),
        ("norm2", "batch_norm", {"channels": 64}),
        ("lif2", "lif", lif),
        ("pool2", "max_pool", {"kernel_size": 2}),
        ("flatten", "flatten", {}),
        ("linear", "linear", {"in_features": 1024, "out_features": classes}),
        ("lif3", "lif", lif),
    )
    return Wiring(name="squat-fmnist", time=time, input_shape=(1, 28, 28), readout="count", nodes=nodes)
