"""Roundings to whole numbers, and the noise that the stochastic one takes as an argument."""

from typing import Literal

import torch
from torch import Tensor

from spikequant.errors import SpecError, unknown

Rounding = Literal["nearest_even", "half_up", "truncate", "stochastic"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest_even", "half_up", "truncate", "stochastic")

PIECE = 2**15


def round_to_integer(x: Tensor, rounding: Rounding, noise: Tensor | None = None) -> Tensor:
    """Round to a whole number.

    Equations (Q-SpiNN, section III-B): ``truncate`` is ``floor(x)``, towards minus infinity; ``half_up`` is
    ``floor(x + 1/2)``; ``stochastic`` is ``floor(x) + [noise < x - floor(x)]``, with noise uniform in [0, 1);
    ``nearest_even`` rounds ties to the even neighbor.

    Raises:
        SpecError: an unknown rounding, or a stochastic one without noise.

    >>> x = torch.tensor([-0.5, 0.5, 1.5, 2.3])
    >>> round_to_integer(x, "half_up").tolist(), round_to_integer(x, "nearest_even").tolist()
    ([0.0, 1.0, 2.0, 2.0], [-0.0, 0.0, 2.0, 2.0])
    """
    if rounding == "nearest_even":
        return torch.round(x)
    below = torch.floor(x)
    if rounding == "truncate":
        return below
    if rounding == "half_up":
        # floor(x + 0.5) would round 0.49999997 up: the sum is not exact in float32.
        return below + (x - below >= 0.5)
    if rounding == "stochastic":
        if noise is None:
            raise SpecError(
                "rounding 'stochastic' needs noise, got None; build a quantizer from the spec (spec.build(shape)), "
                "or pass noise=spikequant.numerics.uniform(...)"
            )
        return below + (noise < x - below)
    raise SpecError(unknown("rounding", rounding, ROUNDINGS))


def uniform(seed: int, layer: int, step: int, index: Tensor) -> Tensor:
    """Noise in [0, 1), a pure function of seed, layer, step and element: no order of evaluation can change it.

    The four words pass through the finalizer of MurmurHash3 in 64-bit integers, which wrap alike on every device;
    the upper 24 bits become the float32.

    Shapes: ``index`` is int64 of any shape and names each element (sample and position); the result has its shape.

    >>> a = uniform(0, 1, 2, torch.arange(4))
    >>> b = uniform(0, 1, 2, torch.tensor([3, 2, 1, 0]))
    >>> bool((a == b.flip(0)).all()), bool(((0 <= a) & (a < 1)).all())
    (True, True)
    """
    key = torch.zeros((), dtype=torch.int64, device=index.device)
    for word in (seed, layer, step):
        key = _mix(key * 31 + word + 1)
    return (_mix(_mix(index) ^ key) >> 40).bitwise_and(0xFFFFFF).to(torch.float32) * 2.0**-24


def rated(chance: Tensor, time: int, seed: int = 0, step: int = 0) -> Tensor:
    """Spikes ``[time, ...]`` that come with a chance each: ``uniform(seed, 0, step, index) < chance``, elements numbered through time.

    What has no chance is not drawn for, and noise is made in pieces that a cache holds.

    >>> rated(torch.tensor([0.0, 1.0]), 3).tolist()
    [[False, True], [False, True], [False, True]]
    """
    flat = chance.flatten()
    places = flat.nonzero().squeeze(1)
    wanted, spikes = flat[places], torch.zeros((time, flat.numel()), dtype=torch.bool, device=flat.device)
    for steps in torch.split(torch.arange(time, device=flat.device), max(1, PIECE // max(places.numel(), 1))):
        index = steps.unsqueeze(1) * flat.numel() + places
        spikes[steps.unsqueeze(1), places] = uniform(seed, 0, step, index) < wanted
    return spikes.reshape(time, *chance.shape)


def _mix(word: Tensor) -> Tensor:
    word = (word ^ _shift_right(word, 33)) * -49064778989728563  # 0xff51afd7ed558ccd as a signed word
    word = (word ^ _shift_right(word, 33)) * -4265267296055464877  # 0xc4ceb9fe1a85ec53
    return word ^ _shift_right(word, 33)


def _shift_right(word: Tensor, bits: int) -> Tensor:
    """Shift without sign: torch's own shift of int64 copies the sign bit."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)
