"""The networks of SQUAT."""

from spikequant.errors import SpecError
from spikequant.models.wiring import Args, Wiring, chain


def squat_fmnist(classes: int = 10, time: int = 25, decay: float = 0.5, threshold: float = 2.5, slope: float = 2.0) -> Wiring:
    """16C5-MP2-64C5-MP2-1024-10 with batch norm and spike-count output, for 28x28 gray images (SQUAT, section III-D).

    Neurons follow snnTorch's ``Leaky``: reset by subtraction one step later, strict comparison. The paper gives no decay and
    threshold; these defaults had the least training loss of nine settings after 100 steps (docs/decisions/0005).

    >>> squat_fmnist().time, squat_fmnist().readout
    (25, 'count')
    """
    lif = _leaky(decay, threshold, slope)
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


def squat_dvs(
    classes: int = 11, time: int = 25, size: int = 32, decay: float = 0.5, threshold: float = 2.5, slope: float = 2.0, dropout: float = 0.2
) -> Wiring:
    """16C5-MP2-32C5-MP2-8800Dense11 with batch norm, dropout and spike-count output, for events ``[time, batch, 2, size, size]``.

    "8800Dense11" is 800 inputs times 11 classes: of 32x32 pixels 5x5 are left in 32 channels; 34x34 (N-MNIST) leave as many. Training
    shows 25 steps, testing 150 (the paper); ``time`` is the first. The paper gives neither the dropout's share nor its place: a fifth,
    before the dense layer. Decay and threshold are those of ``squat_fmnist``; the nearest public code has 0.614 and 0.427.

    Raises:
        SpecError: the convolutions leave no pixel.

    Source: SQUAT, sections III-D and IV-C.

    >>> squat_dvs().of_kind("linear")[0].args["in_features"]
    800
    """
    lif, left = _leaky(decay, threshold, slope), ((size - 4) // 2 - 4) // 2
    if left < 1:
        raise SpecError(f"size must be at least 16 pixels, of which the convolutions leave 1, got {size}; nearest valid value: 16")
    nodes = chain(
        ("encode", "encode", {"encoding": "events"}),
        ("conv1", "conv2d", {"in_channels": 2, "out_channels": 16, "kernel_size": 5}),
        ("norm1", "batch_norm", {"channels": 16}),
        ("lif1", "lif", lif),
        ("pool1", "max_pool", {"kernel_size": 2}),
        ("conv2", "conv2d", {"in_channels": 16, "out_channels": 32, "kernel_size": 5}),
        ("norm2", "batch_norm", {"channels": 32}),
        ("lif2", "lif", lif),
        ("pool2", "max_pool", {"kernel_size": 2}),
        ("flatten", "flatten", {}),
        ("dropout", "dropout", {"p": dropout}),
        ("linear", "linear", {"in_features": 32 * left * left, "out_features": classes}),
        ("lif3", "lif", lif),
    )
    return Wiring(name="squat-dvs", time=time, input_shape=(2, size, size), readout="count", nodes=nodes)


def squat_shd(
    classes: int = 20,
    time: int = 25,
    hidden: int = 1000,
    decay: float = 0.5,
    threshold: float = 2.5,
    slope: float = 2.0,
    dropout: float = 0.2,
) -> Wiring:
    """700Dense1000-1000Dense20 with batch norm after each linear layer, dropout and spike-count output, for events ``[time, batch, 700]``.

    Training shows 25 steps, testing 30 (the paper); ``time`` is the first. Dropout lies between the two layers; its share is ours.
    Source: SQUAT, sections III-D and IV-B.

    >>> squat_shd().input_shape
    (700,)
    """
    lif = _leaky(decay, threshold, slope)
    nodes = chain(
        ("encode", "encode", {"encoding": "events"}),
        ("linear1", "linear", {"in_features": 700, "out_features": hidden}),
        ("norm1", "batch_norm", {"channels": hidden, "space": 1}),
        ("lif1", "lif", lif),
        ("dropout", "dropout", {"p": dropout}),
        ("linear2", "linear", {"in_features": hidden, "out_features": classes}),
        ("norm2", "batch_norm", {"channels": classes, "space": 1}),
        ("lif2", "lif", lif),
    )
    return Wiring(name="squat-shd", time=time, input_shape=(700,), readout="count", nodes=nodes)


def _leaky(decay: float, threshold: float, slope: float) -> Args:
    """snnTorch's ``Leaky``: reset by subtraction one step later, strict comparison."""
    return {"decay": decay, "threshold": threshold, "reset_timing": "next", "compare": ">", "slope": slope}
