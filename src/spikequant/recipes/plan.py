"""From a recipe and a model to the list of tensors and their grids."""

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, cast

from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import SpecError, nearest
from spikequant.neurons import SecondOrder, guests, observable, spiking
from spikequant.quantizers import QuantizerSpec
from spikequant.recipes.recipe import Override, Recipe, Variable

Part = Literal["weights", "biases", "state", "current", "threshold", "decay"]
NAMES: dict[Part, str] = {"weights": "weight", "biases": "bias"}
HOLDERS: dict[Part, str] = {"state": "state", "current": "synapse_state"}


class Hung(NamedTuple):
    """One tensor (or membrane) of a layer and the grid that it shall have; None is float."""

    layer: str
    part: Part
    spec: QuantizerSpec | None


def weighted(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that own synapses, by name, in order.

    >>> list(weighted(nn.Sequential(nn.Linear(1, 1), nn.ReLU())))
    ['0']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)}


def original(layer: nn.Module, tensor: str) -> Tensor | None:
    """The float tensor behind a parametrization, or the tensor itself."""
    if parametrize.is_parametrized(layer, tensor):
        return cast(Tensor, getattr(layer.parametrizations, tensor).original)
    return cast("Tensor | None", getattr(layer, tensor))


def plan(model: nn.Module, recipe: Recipe) -> list[Hung]:
    """Every tensor of the model with its grid, float ones among them.

    Raises:
        SpecError: a pattern of the recipe matches no layer.
    """
    layers, neurons = weighted(model), list(observable(model))
    _refuse_unmatched(recipe, [*layers, *neurons])
    hung = []
    ends = dict(zip([*layers][:1] + [*layers][-1:], (recipe.first, recipe.last), strict=False))
    for name, layer in layers.items():
        end = ends.get(name, "same")
        weights = recipe.weights if end == "same" else _float_or(end)
        hung.append(Hung(name, "weights", _overridden(recipe, name, "weights", weights)))
        if layer.bias is not None:
            hung.append(Hung(name, "biases", _overridden(recipe, name, "biases", recipe.biases)))
    currents = [name for name, neuron in spiking(model).items() if isinstance(neuron, SecondOrder) and neuron.currents]
    _refuse_unheld(recipe, currents, model)
    for name in neurons:
        hung.append(Hung(name, "state", _overridden(recipe, name, "state", _variable(recipe, "v"))))
        if name in currents:
            hung.append(Hung(name, "current", _overridden(recipe, name, "state", _variable(recipe, "i"))))
        hung += [Hung(name, constant, _constant(recipe, name, constant)) for constant in ("threshold", "decay")]
    return hung


def _variable(recipe: Recipe, variable: Variable) -> QuantizerSpec | None:
    return recipe.state.get(variable) if isinstance(recipe.state, dict) else recipe.state


def _refuse_unheld(recipe: Recipe, currents: list[str], model: nn.Module) -> None:
    shared = any(hasattr(guest, "syn") for guest in guests(model).values())
    if isinstance(recipe.state, dict) and "i" in recipe.state and not currents and not shared:
        raise SpecError("recipe: state names the synaptic current i, and no neuron has one; leave i out")


def _float_or(wanted: QuantizerSpec | Literal["float", "same"]) -> QuantizerSpec | None:
    return wanted if isinstance(wanted, QuantizerSpec) else None


def _matching(recipe: Recipe, layer: str) -> list[Override]:
    return [override for pattern, override in recipe.overrides.items() if fnmatchcase(layer, pattern)]


def _overridden(
    recipe: Recipe, layer: str, field: Literal["weights", "biases", "state"], default: QuantizerSpec | None
) -> QuantizerSpec | None:
    for override in reversed(_matching(recipe, layer)):
        wanted = getattr(override, field)
        if wanted is not None:
            return _float_or(wanted)
    return default


def _constant(recipe: Recipe, layer: str, name: Literal["threshold", "decay"]) -> QuantizerSpec | None:
    choices = [override.constants for override in reversed(_matching(recipe, layer))]
    for wanted in [*choices, recipe.constants]:
        if isinstance(wanted, dict):
            if name in wanted:
                return _float_or(wanted[name])
        elif wanted is not None:
            return _float_or(wanted)
    return None


def _refuse_unmatched(recipe: Recipe, names: list[str]) -> None:
    for pattern in recipe.overrides:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SpecError(f"recipe: layer pattern {pattern!r} matches nothing{nearest(pattern, names)}; layers are {', '.join(names)}")
