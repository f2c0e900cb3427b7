"""The networks by name."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from spikequant.errors import SpecError, unknown
from spikequant.models import decolle_net, resnet, sew, small, squat, stdp
from spikequant.models.network import Network
from spikequant.models.wiring import Wiring

WIRINGS: dict[str, Callable[..., Wiring]] = {
    "decolle": decolle_net.decolle,
    "digits": small.digits,
    "resnet18": resnet.resnet18,
    "resnet20": resnet.resnet20,
    "resnet50": resnet.resnet50,
    "resnet8": resnet.resnet8,
    "sew-resnet": sew.sew_resnet,
    "sew-resnet18": sew.sew_resnet18,
    "sew-resnet8": sew.sew_resnet8,
    "squat-dvs": squat.squat_dvs,
    "squat-fmnist": squat.squat_fmnist,
    "squat-shd": squat.squat_shd,
    "stdp-net": stdp.stdp_net,
}

# How a network is drawn where its authors did not leave it to torch.
INITIALIZERS: dict[str, Callable[[Network], None]] = {
    **dict.fromkeys(("sew-resnet", "sew-resnet18", "sew-resnet8"), sew.initialize),
    "decolle": decolle_net.initialize,
    "stdp-net": stdp.initialize,
}


def names() -> list[str]:
    """The names that ``build`` takes.

    >>> "squat-fmnist" in names()
    True
    """
    return sorted(WIRINGS)


def build(name: str, seed: int = 0, **options: Any) -> Network:
    """A fresh network by its name, initialized from ``seed``; ``options`` are those of its wiring.

    Raises:
        SpecError: an unknown name or option.

    >>> build("digits").wiring.time
    4
    """
    if name not in WIRINGS:
        raise SpecError(unknown("model", name, WIRINGS))
    _refuse_options(name, options)
    try:
        wiring = WIRINGS[name](**options)
    except TypeError as error:
        raise SpecError(f"model {name!r}: {error}") from None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = Network(wiring)
        if name in INITIALIZERS:
            INITIALIZERS[name](network)
        return network


def _refuse_options(name: str, options: dict[str, Any]) -> None:
    """Refuse what the function of a wiring does not take, and sizes that are no sizes."""
    known = inspect.signature(WIRINGS[name]).parameters
    for option, value in options.items():
        if option not in known:
            raise SpecError(unknown("option", option, known, f"model {name!r}"))
        if known[option].annotation is int and not (isinstance(value, int) and value >= 1):
            raise SpecError(f"model {name!r}, {option}: must be a whole number of at least 1, got {value!r}; nearest valid value: 1")


def decolle(**options: Any) -> Network:
    """Q-SpiNN's supervised network; see ``spikequant.models.decolle_net.decolle`` for its options."""
    return build("decolle", **options)


def digits(**options: Any) -> Network:
    """The network of the demo; see ``spikequant.models.small.digits`` for its options."""
    return build("digits", **options)


def resnet8(**options: Any) -> Network:
    """ResNet-8 without membranes; see ``spikequant.models.resnet.resnet8`` for its options."""
    return build("resnet8", **options)


def resnet18(**options: Any) -> Network:
    """ResNet-18 without membranes; see ``spikequant.models.resnet.resnet18`` for its options."""
    return build("resnet18", **options)


def resnet20(**options: Any) -> Network:
    """ResNet-20 without membranes; see ``spikequant.models.resnet.resnet20`` for its options."""
    return build("resnet20", **options)


def resnet50(**options: Any) -> Network:
    """ResNet-50 without membranes; see ``spikequant.models.resnet.resnet50`` for its options."""
    return build("resnet50", **options)


def sew_resnet(**options: Any) -> Network:
    """SEW-ResNet of any depth; see ``spikequant.models.sew.sew_resnet`` for its options."""
    return build("sew-resnet", **options)


def sew_resnet18(**options: Any) -> Network:
    """SEW-ResNet-18; see ``spikequant.models.sew.sew_resnet18`` for its options."""
    return build("sew-resnet18", **options)


def sew_resnet8(**options: Any) -> Network:
    """SEW-ResNet-8; see ``spikequant.models.sew.sew_resnet8`` for its options."""
    return build("sew-resnet8", **options)


def squat_dvs(**options: Any) -> Network:
    """SQUAT's DVS Gesture network; see ``spikequant.models.squat.squat_dvs`` for its options."""
    return build("squat-dvs", **options)


def squat_fmnist(**options: Any) -> Network:
    """SQUAT's Fashion-MNIST network; see ``spikequant.models.squat.squat_fmnist`` for its options."""
    return build("squat-fmnist", **options)


def squat_shd(**options: Any) -> Network:
    """SQUAT's Spiking Heidelberg Digits network; see ``spikequant.models.squat.squat_shd`` for its options."""
    return build("squat-shd", **options)


def stdp_net(**options: Any) -> Network:
    """Q-SpiNN's unsupervised network; see ``spikequant.models.stdp.stdp_net`` for its options."""
    return build("stdp-net", **options)
