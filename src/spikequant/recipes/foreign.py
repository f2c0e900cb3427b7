"""How grids are hung on neurons of other libraries, each by the door that its library leaves open."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models.adopt import host, observers
from spikequant.neurons import LIF, STAND_IN, guests, library
from spikequant.numerics import snap
from spikequant.quantizers import Quantizer
from spikequant.recipes.recipe import Constant, Override, Recipe


class Seat(nn.Module):
    """A quantizer as the callable that snnTorch applies to every state: the grid as it stands, never fitted by what it reads."""

    def __init__(self, holder: Quantizer) -> None:
        super().__init__()
        self.holder = holder

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid."""
        return snap(self.holder.grid(), x, self.holder.rounding_rule, self.holder.gradient)


def welcome(model: nn.Module, recipe: Recipe) -> None:
    """Make room for what a recipe asks of guests: for grids on states or constants, our neurons do SpikingJelly's and Norse's steps.

    Raises:
        SpecError: a guest cannot take what the recipe asks.
    """
    every: list[Recipe | Override] = [recipe, *recipe.overrides.values()]
    inside = any(each.state is not None or each.constants is not None for each in every)
    for name, guest in guests(model).items():
        if library(guest) == "snntorch":
            _refuse_what_snntorch_cannot(name, guest, recipe)
        elif inside and not hasattr(guest, STAND_IN):
            host(name, guest)


def _refuse_what_snntorch_cannot(name: str, guest: Any, recipe: Recipe) -> None:
    wants_state = recipe.state is not None or any(each.state is not None for each in recipe.overrides.values())
    if not wants_state:
        return
    if isinstance(recipe.state, dict) and len({recipe.state.get("v"), recipe.state.get("i")}) > 1 and hasattr(guest, "syn"):
        raise SpecError(f"{name}: snnTorch applies one grid to all states of a neuron; give one for both, or adopt the network")
    if recipe.snapped not in (None, "before_fire"):
        raise SpecError(f"{name}: snnTorch rounds before it fires; snapped={recipe.snapped!r} needs an adopted network")
    if guest.state_quant:
        raise SpecError(f"{name}: it has a state_quant already; quantize the float network")
    if not getattr(guest, "reset_delay", True):
        raise SpecError(
            f"{name}: with reset_delay=False snnTorch resets after it has rounded, off the grid; use reset_delay=True, or adopt"
        )


def seat(guest: Any, quantizer: Quantizer) -> None:
    """Hang a quantizer on the states of a snnTorch neuron."""
    guest.state_quant = Seat(quantizer)


def seated(model: nn.Module) -> dict[str, Quantizer]:
    """The quantizers that hang on snnTorch's neurons."""
    held = {name: getattr(guest, "state_quant", None) for name, guest in guests(model).items()}
    return {name: each.holder for name, each in held.items() if isinstance(each, Seat)}


def constants_of(guest: Any) -> dict[Constant, str]:
    """The constants of a snnTorch neuron that a grid can take, with snnTorch's names."""
    if hasattr(guest, "syn_exc"):
        return {"threshold": "threshold", "decay": "alpha", "inhibitory": "beta"}
    own: dict[Constant, str] = {"threshold": "threshold", "decay": "beta"}
    return own | {"synapse": "alpha"} if hasattr(guest, "alpha") else own


def fix_constant(name: str, guest: Any, constant: Constant, on_grid: Callable[[Tensor], Tensor]) -> None:
    """Put a constant of a snnTorch neuron on its grid.

    Raises:
        SpecError: it has no such constant, or both decays of an Alpha become one.
    """
    value = getattr(guest, constants_of(guest)[constant], None)
    if not isinstance(value, Tensor) or (type(guest).__name__ == "Lapicque" and constant == "decay"):
        raise SpecError(f"{name}: {type(guest).__name__} has no {constant} of its own to quantize; adopt the network")
    value.data.copy_(on_grid(value.detach()))
    if hasattr(guest, "syn_exc") and not (guest.alpha > guest.beta).all():
        raise SpecError(
            f"{name}: its decays fall together on this grid, {float(guest.alpha.min())} and {float(guest.beta.max())}; take more bits"
        )


@contextlib.contextmanager
def watched(guest: Any, neuron: LIF | None, observe: Callable[[Tensor], None], part: str) -> Iterator[None]:
    """Within the block a guest runs float, and ``observe`` sees what its grid should cover."""
    if neuron is None:
        seat = guest.state_quant
        del guest.state_quant
        guest.state_quant = _Seeing(observe)
        try:
            yield
        finally:
            guest.state_quant = seat
        return
    found = observers(guest)
    found.append(lambda own, sequence, start: observe(_reached(own, part, sequence, start)))
    try:
        yield
    finally:
        found.pop()


def _reached(own: Any, part: str, sequence: Tensor, start: Any) -> Tensor:
    seen: Tensor = (own.charged if part == "state" else own.stored_currents)(sequence, start=start)
    return seen.flatten(0, 1)


class _Seeing:
    def __init__(self, observe: Callable[[Tensor], None]) -> None:
        self.observe = observe

    def __call__(self, x: Tensor) -> Tensor:
        self.observe(x.detach())
        return x
