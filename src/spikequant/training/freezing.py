"""StoMPP: layer by layer, graded values freeze to hard ones while the free ones learn; no straight-through estimator."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrize

from spikequant.errors import SpecError
from spikequant.models import Activation, Network
from spikequant.neurons import LIF
from spikequant.numerics import refreshed, share
from spikequant.quantizers import TwoLevels
from spikequant.training.spec import Freezing

Maskable = TwoLevels | LIF


class Part(NamedTuple):
    """One tensor that freezes: its owner, the latent weight behind it (None for activations and spikes), and the mask's shape."""

    owner: Maskable
    latent: nn.Parameter | None
    shape: tuple[int, ...]


@dataclass
class Freezer:
    """Moves the masks of a network before each step, and holds frozen weights still after it. ``layers`` freeze in their order."""

    freezing: Freezing
    layers: dict[str, list[Part]]
    steps: int
    seed: int

    @classmethod
    def of(cls, model: nn.Module, freezing: Freezing | None, steps: int | None, seed: int) -> "Freezer":
        """A freezer for a network whose binary grids hang already; from now on they are graded, until ``finish``.

        Without ``freezing`` it holds no layer and does nothing.

        Raises:
            SpecError: nothing can freeze, or the number of steps is not known.
        """
        if freezing is None:
            return cls(Freezing(), {}, 1, seed)
        if steps is None:
            raise SpecError("freezing needs a loader with a length, to know its last step")
        layers = freezable(model, freezing.spikes)
        for part in (part for parts in layers.values() for part in parts):
            device = next(model.parameters()).device
            part.owner.frozen = torch.zeros(part.shape, dtype=torch.bool, device=device)
            part.owner.straight_through = freezing.straight_through
            if isinstance(part.owner, LIF):
                part.owner.window = freezing.window
        return cls(freezing, layers, steps, seed)

    @contextlib.contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Around one optimizer step (from 1): the masks of this step, and afterwards the frozen latent weights as they were."""
        wanted = [self._share(step, place) for place, parts in enumerate(self.layers.values()) for _ in parts]
        parts = [part for parts in self.layers.values() for part in parts]
        for number, (part, share_) in enumerate(zip(parts, wanted, strict=True)):
            assert part.owner.frozen is not None, "the masks are there until finish"
            # In place, where a recorded step reads it.
            part.owner.frozen.copy_(refreshed(part.owner.frozen, share_, self.freezing.refresh, self.seed, number, step))
            part.owner.blocked = share_ == 1 and not self.freezing.straight_through
        held = [(part.owner.frozen, part.latent, part.latent.detach().clone()) for part in parts if part.latent is not None]
        yield
        with torch.no_grad():
            for frozen, latent, before in held:
                assert frozen is not None, "set above"
                # The momentum of a weight outlives its gradient.
                latent.copy_(torch.where(frozen, before, latent))
                if self.freezing.clamp:
                    latent.clamp_(-1, 1)

    def fill(self, model: nn.Module) -> None:
        """Give what a blockade keeps from every gradient the zero gradient that it has: its momentum goes on."""
        if self.layers:
            for parameter in model.parameters():
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def shares(self) -> dict[str, float]:
        """How much of each layer is frozen now."""
        return {name: _frozen_share(parts) for name, parts in self.layers.items()}

    def gradients(self) -> dict[str, float]:
        """The norm of the last gradient of each layer's latent weights; 0 behind a blockade, absent where nothing was trained."""
        latents = {name: part.latent for name, parts in self.layers.items() for part in parts if part.latent is not None}
        return {name: float(latent.grad.norm()) for name, latent in latents.items() if latent.grad is not None}

    @contextlib.contextmanager
    def hard(self) -> Iterator[None]:
        """The network as it would be with all frozen, for as long as this lasts."""
        owners = [part.owner for parts in self.layers.values() for part in parts]
        masks = [owner.frozen for owner in owners]
        try:
            for owner in owners:
                owner.frozen = None
            yield
        finally:
            for owner, mask in zip(owners, masks, strict=True):
                owner.frozen = mask

    def finish(self) -> None:
        """Take the masks away: what is left is an ordinary network on binary grids."""
        for part in (part for parts in self.layers.values() for part in parts):
            part.owner.frozen, part.owner.blocked = None, False

    def _share(self, step: int, place: int) -> float:
        last = len(self.layers) - 1
        turn, turns = {"forward": (place, last + 1), "reverse": (last - place, last + 1), "global": (0, 1)}[self.freezing.order]
        return share(step, turn, turns, self.steps, self.freezing.tail, self.freezing.power)


def freezable(model: nn.Module, spikes: bool) -> dict[str, list[Part]]:
    """The layers that freeze, in the order of the network: binary weights, with the binary activation or neuron that follows them.

    Raises:
        SpecError: nothing can freeze; spikes of what is no ``Network``, or of a neuron that knows no grades.
    """
    layers: dict[str, list[Part]] = {}
    if spikes and not isinstance(model, Network):
        raise SpecError(f"spikes freeze neuron by neuron, and {type(model).__name__} does not tell how many there are; adopt the network")
    shapes = model.shapes() if isinstance(model, Network) else {}
    last = ""
    for name, module in model.named_modules():
        if (part := _weight(module)) is not None:
            last = name
            layers[name] = [part]
        elif (part := _answer(name, module, shapes.get(name, (1,)), spikes)) is not None:
            if last not in layers or len(layers[last]) > 1:
                last = name
            layers.setdefault(last, []).append(part)
    if not layers:
        raise SpecError("nothing can freeze: quantize weights or activations with Binary(), or set spikes=True")
    return layers


def _weight(module: nn.Module) -> Part | None:
    if not parametrize.is_parametrized(module, "weight"):
        return None
    held: Any = module.parametrizations
    owner, latent = held.weight[0], held.weight.original
    return Part(owner, latent, tuple(latent.shape)) if isinstance(owner, TwoLevels) else None


def _answer(name: str, module: nn.Module, shape: tuple[int, ...], spikes: bool) -> Part | None:
    if isinstance(module, Activation) and isinstance(module.quantizer, TwoLevels):
        return Part(module.quantizer, None, shape)
    if not spikes or not isinstance(module, LIF):
        return None
    if not module.freezes:
        raise SpecError(f"{name} is a {type(module).__name__}, whose spikes have no grades to freeze from; take a LIF, or spikes=False")
    return Part(module, None, shape)


def _frozen_share(parts: list[Part]) -> float:
    masks = [part.owner.frozen for part in parts if part.owner.frozen is not None]
    return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks) if masks else 1.0
