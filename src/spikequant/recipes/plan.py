"""From a recipe and a model to the list of tensors and their grids."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, cast

from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import SpecError, nearest
from spikequant.models import Network, activations
from spikequant.neurons import Competing, guests, is_foreign, observable, strangers, tracing, unfamiliar
from spikequant.quantizers import FixedPoint, QuantizerSpec, integer_bits
from spikequant.recipes.folding import FIRING
from spikequant.recipes.parts import VARIABLES, Changing, Part, Parts, parts, stateful
from spikequant.recipes.recipe import Constant, Override, Recipe
from spikequant.recipes.unfit import refuse_unfit

CONSTANT_BITS = 8  # of reset and theta, where a recipe gives one fixed point for all neuron parameters (Q-SpiNN, Table I)
ELSEWHERE = ("activation", "alpha", "competing", "refraining", "traces")  # kinds of nodes that no integer recipe rewrites
UNHELD = nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d  # layers whose weights no grid is hung on
OWNERS = {"weights": "layer", "biases": "layer", "activations": "activation", "state": "neuron", "constants": "neuron"}
VARY = {"v": "neurons that fire", "i": "neurons with a synaptic current", "threshold": "neurons that compete"}
VARY |= dict.fromkeys("pqr", "DECOLLE's neurons")
STAY = {"threshold": "neurons other than DECOLLE's", "decay": "neurons that neither compete nor are DECOLLE's"}
STAY |= {"synapse": VARY["i"], "inhibitory": "Alpha neurons"}
STAY |= dict.fromkeys(("reset", "theta"), VARY["threshold"]) | dict.fromkeys(("alpha", "beta", "gamma"), VARY["p"])


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
        SpecError: the recipe asks for what the model does not have or no grid reaches, or a pattern matches nothing.
    """
    layers, acts, neurons = weighted(model), list(activations(model)), list(observable(model))
    traces, unheld, unknown = list(tracing(model)), _unheld(model), strangers(model)
    _refuse_no_integer_form(recipe, model)
    _refuse_idle(recipe, {"layer": [*layers, *unheld], "activation": acts, "neuron": [*neurons, *traces, *unknown]})
    _refuse_unheld_layers(recipe, unheld)
    _refuse_strangers(recipe, unknown)
    hung = []
    ends = dict(zip([*layers][:1] + [*layers][-1:], (recipe.first, recipe.last), strict=False))
    for name, layer in layers.items():
        end = ends.get(name, "same")
        weights = recipe.weights if end == "same" else _float_or(end)
        hung.append(Hung(name, "weights", _overridden(recipe, name, "weights", weights)))
        if layer.bias is not None:
            hung.append(Hung(name, "biases", _overridden(recipe, name, "biases", recipe.biases)))
    hung += [Hung(name, "activations", _overridden(recipe, name, "activations", recipe.activations)) for name in acts]
    held, own = parts(model), {**observable(model), **stateful(model)}
    _refuse_unowned(recipe, model, held)
    hung += [each for name, of in held.items() for each in _of_neuron(recipe, name, of, own[name])]
    owners = {**activations(model), **own, **layers}
    for name, part, spec in hung:
        if spec is not None:
            refuse_unfit(name, owners[name], part, spec)
    return hung


def _of_neuron(recipe: Recipe, name: str, of: Parts, neuron: nn.Module) -> Iterator[Hung]:
    for part in of.variables:
        yield Hung(name, part, _overridden(recipe, name, "state", _variable(recipe, name, part)))
    for constant in of.constants:
        spec = _constant(recipe, name, constant)
        own = isinstance(neuron, Competing) and not isinstance(recipe.constants, dict)
        yield Hung(name, constant, _own_width(spec, getattr(neuron, constant)) if own else spec)


def _variable(recipe: Recipe, name: str, part: Changing) -> QuantizerSpec | None:
    if isinstance(recipe.state, dict) and VARIABLES[part] in recipe.state:
        return recipe.state[VARIABLES[part]]
    if part == "bound" and isinstance(recipe.constants, dict) and "threshold" in recipe.constants:
        return _constant(recipe, name, "threshold")
    if isinstance(recipe.state, dict):
        return None
    if recipe.arithmetic is not None and part == "current":
        return FixedPoint(integer=recipe.arithmetic.current_bits - 1, fraction=0)
    return recipe.state


def _refuse_unowned(recipe: Recipe, model: nn.Module, held: Mapping[str, Parts]) -> None:
    """Refuse a variable or constant that is named and that no neuron has."""
    shared = {"i"} if any(hasattr(guest, "syn") for guest in guests(model).values()) else set()  # one grid for all that snnTorch holds
    variables = shared | {VARIABLES[part] for of in held.values() for part in of.variables}
    _refuse_named("recipe", recipe.state, variables, VARY)
    _refuse_named("recipe", recipe.constants, {each for of in held.values() for each in of.named}, STAY)
    for pattern, override in recipe.overrides.items():
        there = {each for name, of in held.items() if fnmatchcase(name, pattern) for each in of.named}
        _refuse_named(f"recipe: layer pattern {pattern!r}", override.constants, there, STAY)


def _refuse_named(where: str, wanted: object, there: Collection[str], owners: Mapping[str, str]) -> None:
    missing = [name for name in wanted if name not in there] if isinstance(wanted, dict) else []
    if missing:
        group = ", ".join(name for name in missing if owners[name] == owners[missing[0]])
        raise SpecError(f"{where}: {group}: only {owners[missing[0]]} have these; leave them out")


def _float_or(wanted: QuantizerSpec | Literal["float", "same"]) -> QuantizerSpec | None:
    return wanted if isinstance(wanted, QuantizerSpec) else None


def _matching(recipe: Recipe, layer: str) -> list[Override]:
    return [override for pattern, override in recipe.overrides.items() if fnmatchcase(layer, pattern)]


def _overridden(
    recipe: Recipe, layer: str, field: Literal["weights", "biases", "activations", "state"], default: QuantizerSpec | None
) -> QuantizerSpec | None:
    return _float_or(_wanted(recipe, layer, field, default))


def _wanted(recipe: Recipe, layer: str, field: str, default: Any) -> Any:
    """What the last override says that says anything."""
    said = (getattr(override, field) for override in reversed(_matching(recipe, layer)))
    return next((wanted for wanted in said if wanted is not None), default)


def _constant(recipe: Recipe, layer: str, name: Constant) -> QuantizerSpec | None:
    choices = [override.constants for override in reversed(_matching(recipe, layer))]
    for wanted in [*choices, recipe.constants]:
        if isinstance(wanted, dict):
            if name in wanted:
                return _float_or(wanted[name])
        elif wanted is not None:
            return _float_or(wanted)
    return None


def _own_width(spec: QuantizerSpec | None, value: Tensor) -> QuantizerSpec | None:
    """The fraction of a constant depends on its value, not on that of the variables (Q-SpiNN, Fig. 7)."""
    if not isinstance(spec, FixedPoint):
        return spec
    integer = integer_bits(float(value), float(value), 0)
    return FixedPoint(integer=integer, fraction=max(0, CONSTANT_BITS - 1 - integer), rounding=spec.rounding)


def _refuse_idle(recipe: Recipe, owned: Mapping[str, Sequence[str]]) -> None:
    """Refuse what would be asked for and silently not done."""
    for field in ("activations", "state", "constants"):
        if getattr(recipe, field) and not owned[OWNERS[field]]:
            raise SpecError(f"recipe: {field}: the model has no {OWNERS[field]}; leave {field} out")
    names = [name for each in owned.values() for name in each]
    for pattern, override in recipe.overrides.items():
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SpecError(f"recipe: layer pattern {pattern!r} matches nothing{nearest(pattern, names)}; layers are {', '.join(names)}")
        for field, owner in OWNERS.items():
            if getattr(override, field) is not None and not any(fnmatchcase(name, pattern) for name in owned[owner]):
                there = ", ".join(owned[owner]) or "none"
                raise SpecError(f"recipe: layer pattern {pattern!r} gives {field} and matches no {owner}; there are {there}")


def _refuse_no_integer_form(recipe: Recipe, model: nn.Module) -> None:
    elsewhere = model.wiring.of_kind(*ELSEWHERE) if isinstance(model, Network) and recipe.arithmetic is not None else []
    for node in elsewhere:
        raise SpecError(f"{node.name}: there is no {node.kind} in whole numbers; Recipe.integer knows {', '.join(FIRING)}")


def _unheld(model: nn.Module) -> dict[str, nn.Module]:
    """What owns weights that no grid is hung on: layers, and neurons and layers of other libraries."""
    neurons, modules = {**guests(model), **strangers(model)}, model.named_modules()
    return {name: each for name, each in modules if isinstance(each, UNHELD) or (is_foreign(each) and _owns_weights(each, name in neurons))}


def _owns_weights(module: nn.Module, neuron: bool) -> bool:
    """Whether it has weights of its own, a neuron also in what is inside and no layer; of one axis, those inside are a norm's."""
    layers, found = weighted(module), module.named_parameters(recurse=neuron)
    inside = ((*name.rpartition(".")[::2], tensor.ndim) for name, tensor in found)
    loose = any("weight" in tensor and owner not in layers and (axes > 1 or (neuron and not owner)) for owner, tensor, axes in inside)
    return loose or (neuron and hasattr(module, "V"))  # snnTorch's weights from each neuron to itself


def _refuse_unheld_layers(recipe: Recipe, unheld: Mapping[str, nn.Module]) -> None:
    for name, layer in unheld.items():
        for field, default in (("weights", recipe.weights), ("biases", recipe.biases)):
            if (field == "weights" or isinstance(layer, UNHELD)) and (_wanted(recipe, name, field, default) or "float") != "float":
                raise SpecError(
                    f"{name}: no grid is hung on {field} of a {type(layer).__name__}, only on those of Conv1d, Conv2d and Linear; "
                    f"leave them float: overrides={{{name!r}: Override({field}='float')}}"
                )


def _refuse_strangers(recipe: Recipe, unknown: Mapping[str, nn.Module]) -> None:
    for name, neuron in unknown.items():
        for field in ("state", "constants"):
            if (_wanted(recipe, name, field, getattr(recipe, field)) or "float") != "float":
                raise SpecError(f"{unfamiliar(name, neuron)}; leave it float: overrides={{{name!r}: Override({field}='float')}}")
