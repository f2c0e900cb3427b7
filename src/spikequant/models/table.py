"""The networks by name."""

from collections.abc import Callable
from typing import Any

import torch

from spikequant.errors import SpecError, unknown
from spikequant.models import small, squat
from spikequant.models.network import Network
from spikequant.models.wiring import Wiring

WIRINGS: dict[str, Callable[..., Wiring]] = {
    "digits": small.digits,
    "squat-fmnist": squat.squat_fmnist,
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
    try:
        wiring = WIRINGS[name](**options)
    except TypeError as error:
        raise SpecError(f"model {name!r}: {error}") from None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Network(wiring)


def digits(**options: Any) -> Network:
    """The network of the demo; see ``spikequant.models.small.digits`` for its options."""
    return build("digits", **options)


def squat_fmnist(**options: Any) -> Network:
    """SQUAT's Fashion-MNIST network; see ``spikequant.models.squat.squat_fmnist`` for its options."""
    return build("squat-fmnist", **options)
