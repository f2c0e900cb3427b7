"""How grids are hung on a model: quantize, calibrate, bake. Only here is it known that weights are parametrized."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikequant.errors import SpecError, SpikequantError, unknown
from spikequant.models import Network, activations
from spikequant.neurons import LIF, Competing, enroll, guests, observable, rest, spiking
from spikequant.quantizers import Quantizer, QuantizerSpec
from spikequant.recipes import foreign
from spikequant.recipes.calibration import CALIBRATION_BATCHES, PLACES, Loader, calibrate, settle
from spikequant.recipes.integer import bias_spec, fed, hang_scale, hang_unit, integer_network, set_scales
from spikequant.recipes.norms import reestimate, without_norms
from spikequant.recipes.parts import HOLDERS, NAMES, stateful
from spikequant.recipes.plan import Hung, original, plan, weighted
from spikequant.recipes.recipe import Constant, Recipe
from spikequant.recipes.sharing import check_steps, share_steps

Extremes = Mapping[str, tuple[float, float]]
Model = TypeVar("Model", bound=nn.Module)


def quantize(
    model: Model,
    recipe: Recipe,
    calibration: Loader | None = None,
    batches: int = CALIBRATION_BATCHES,
    extremes: Extremes | None = None,
) -> Model:
    """A quantized copy of a float model: post-training as it stands, quantization-aware when trained on.

    Weights that data must fit are fitted to the weights; states whose range data must choose are fitted to the membranes of
    the first ``batches`` of ``calibration``, which must not be test data, or to ``extremes``: the lowest and highest membrane of each
    neuron by its name, as ``spikequant.behavior.extremes`` collects them over a whole training run.

    Raises:
        SpecError: the recipe asks for what the model does not have or no grid reaches, or the model is quantized already, holds NaN, needs
            calibration, or has no integer form.

    >>> from spikequant.models import build
    >>> from spikequant.quantizers import Uniform
    >>> quantize(build("digits"), Recipe(weights=Uniform(bits=2, low=-1.0, high=1.0))).conv1.weight.unique().numel()
    2
    """
    if not isinstance(recipe, Recipe):
        raise SpecError(f"recipe: must be a Recipe, as Recipe(weights=...) or Recipe.parse(...), got {recipe!r:.80}")
    if isinstance(calibration, Iterator):  # it can be walked once, and some recipes need it twice
        calibration = list(itertools.islice(calibration, batches))
    if recipe.arithmetic is not None:
        return cast(Model, _in_integers(model, recipe, calibration, batches))
    rest(model)  # what a guest holds of its last graph cannot be copied
    copied = attach(_prepared(model, recipe, calibration), recipe)
    enroll(copied)
    _fit_weights(copied)
    _fit_thresholds(copied)
    check_steps(copied)
    states = _state_quantizers(copied)
    waiting = {name: quantizer for name, quantizer in states.items() if quantizer.needs_data}
    for name, ends in (extremes or {}).items():
        if name not in {*states, *observable(copied)}:
            raise SpecError(unknown("neuron", name, {*states, *observable(copied)}, "extremes"))
        quantizer = waiting.pop(name, None)
        if quantizer is not None:
            quantizer.observe(torch.tensor(ends).reshape(-1, 1).expand(-1, quantizer.shape[quantizer.axis]))
            settle(name, quantizer)
    if waiting:
        if calibration is None:
            needy = ", ".join(waiting)
            raise SpecError(f"the states of {needy} need data to fit their range; pass calibration=loader, or give a fixed range")
        calibrate(copied, waiting, calibration, batches)
    if recipe.batch_norm == "reestimated" and calibration is not None:
        reestimate(copied, calibration, batches)
    return copied


def _prepared(model: Model, recipe: Recipe, calibration: Loader | None) -> Model:
    """A copy to hang grids on."""
    if recipe.batch_norm == "reestimated" and calibration is None:
        raise SpecError("batch_norm='reestimated' needs calibration: pass calibration=loader")
    if recipe.batch_norm != "folded":
        return copy.deepcopy(model)
    if not isinstance(model, Network):
        raise SpecError(f"batch_norm='folded' rewrites the wiring of a Network, and {type(model).__name__} has none; adopt it first")
    if _is_quantized(model):
        raise SpecError("the model is quantized already; quantize the float model")
    return cast(Model, without_norms(model))


def _in_integers(model: nn.Module, recipe: Recipe, calibration: Loader | None, batches: int) -> Network:
    if not isinstance(model, Network):
        raise SpecError(f"an integer recipe rewrites the wiring of a Network, and {type(model).__name__} has none; adopt it first")
    if _is_quantized(model):
        raise SpecError("the model is quantized already; quantize the float model")
    _refuse_unsound(model)
    network, scalings = integer_network(model, recipe, calibration, batches)
    attach(network, recipe)
    set_scales(network, scalings)
    like = next(model.parameters())
    return network.to(like.device, torch.promote_types(like.dtype, torch.float32))


def attach(model: Model, recipe: Recipe) -> Model:
    """Hang the quantizers of a recipe on the model itself, unfitted (as ``load`` needs them); constants are put on their grids."""
    if _is_quantized(model):
        raise SpecError("the model is quantized already; quantize the float model")
    _refuse_unsound(model)
    foreign.welcome(model, recipe)
    layers = weighted(model)
    shapes = model.shapes() if isinstance(model, Network) else {}
    for index, hung in enumerate(plan(model, recipe)):
        if hung.spec is None:
            continue
        if hung.part == "activations":
            fixed = _of_fixed_range(hung.spec, shapes.get(hung.layer, (1,)))
            activations(model)[hung.layer].quantizer = _numbered(fixed, recipe, index)
        elif hung.part not in ("weights", "biases"):
            quantizer = _numbered(hung.spec.build((1, *shapes.get(hung.layer, (1,))), 1), recipe, index) if hung.part in HOLDERS else None
            _hang_on_neuron(model, hung, hung.spec, quantizer)
        else:
            _refuse_computed(layers[hung.layer], hung)
            if recipe.arithmetic is not None and isinstance(model, Network):
                _hang_whole(model, hung, recipe, index)
            else:
                _hang(layers[hung.layer], hung, recipe, index)
    for neuron in spiking(model).values():
        neuron.snapped = recipe.snapped or neuron.snapped
    share_steps(model)
    if isinstance(model, Network):
        model.recipe = recipe
    return model


def _of_fixed_range(spec: QuantizerSpec, shape: tuple[int, ...]) -> Quantizer:
    quantizer = spec.build((1, *shape), 1)
    if quantizer.needs_data:
        raise SpecError(f"activations take a grid of a fixed range, and {spec.label()} asks for data; give its range, or scale='one'")
    return quantizer


def bake(model: Model) -> Model:
    """A copy whose weights are plain tensors on their grids: nothing is left to fit, nothing to train through."""
    rest(model)  # as in ``quantize``
    baked = copy.deepcopy(model).eval()
    for layer in weighted(baked).values():
        if parametrize.is_parametrized(layer):
            _settle(layer)
    if isinstance(baked, Network) and isinstance(baked.recipe, Recipe):
        kept = {pattern: each.model_copy(update={"weights": None, "biases": None}) for pattern, each in baked.recipe.overrides.items()}
        floats = {"weights": None, "biases": None, "first": "same", "last": "same", "overrides": kept}
        baked.recipe = baked.recipe.model_copy(update=floats)
    return baked


def _settle(layer: nn.Module) -> None:
    """As torch's ``remove_parametrizations``, which would also strip the class that a copy shares with its original."""
    values = {tensor: getattr(layer, tensor).detach().clone() for tensor in cast(nn.ModuleDict, layer.parametrizations)}
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    for tensor, value in values.items():
        layer.register_parameter(tensor, nn.Parameter(value))


def _refuse_unsound(model: nn.Module) -> None:
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            count = int((~torch.isfinite(value)).sum())
            raise SpecError(f"{name} holds {count} values that are NaN or infinite; quantize a sound model")


def _refuse_computed(layer: nn.Module, hung: Hung) -> None:
    """A grid hangs on a parameter: not on what weight norm, spectral norm or pruning compute anew in every pass."""
    tensor = NAMES[hung.part]
    if parametrize.is_parametrized(layer, tensor) or tensor not in {**layer._parameters, **layer._buffers}:
        raise SpecError(f"{hung.layer}.{tensor}: is no parameter but computed, as by weight norm; remove that first, or leave it float")


def _hang(layer: nn.Module, hung: Hung, recipe: Recipe, index: int) -> None:
    tensor = NAMES[hung.part]
    value = original(layer, tensor)
    if hung.spec is None or value is None:
        return
    quantizer = _numbered(hung.spec.build(tuple(value.shape)), recipe, index).to(value.device)
    # unsafe: torch would call the quantizer once now, and learned grids would take that for a training step.
    parametrize.register_parametrization(layer, tensor, quantizer, unsafe=True)


def _hang_on_neuron(model: nn.Module, hung: Hung, spec: QuantizerSpec, quantizer: Quantizer | None) -> None:
    """The quantizer of a state or current, or, without one, a constant put on the grid of ``spec``; on ours, or on a guest."""
    neuron, name = stateful(model).get(hung.layer), hung.part
    if neuron is None:
        guest = guests(model)[hung.layer]
        if quantizer is None:
            foreign.fix_constant(hung.layer, guest, cast(Constant, name), partial(_on_grid, spec))
        else:
            foreign.seat(guest, quantizer)
    elif quantizer is None:
        try:
            cast(LIF, neuron).quantize_constant(name, _on_grid(spec, getattr(neuron, name)))
        except SpikequantError as error:
            raise type(error)(f"{hung.layer}: {error}") from None
    else:
        setattr(neuron, HOLDERS[name], quantizer)


def _hang_whole(model: Network, hung: Hung, recipe: Recipe, index: int) -> None:
    """A grid of whole numbers, behind its scale; where no neuron follows, real units before and after."""
    layer, tensor = model.get_submodule(hung.layer), NAMES[hung.part]
    spec = bias_spec(model.wiring, hung.layer) if hung.part == "biases" else hung.spec
    hang_scale(layer, tensor)
    _hang(layer, hung._replace(spec=spec), recipe, index)
    if fed(model.wiring, hung.layer) is None:
        hang_unit(layer, tensor)


def _numbered(quantizer: Quantizer, recipe: Recipe, index: int) -> Quantizer:
    quantizer.seed, quantizer.layer = recipe.seed, index
    return quantizer


def _fit_weights(model: nn.Module) -> None:
    for name, layer in weighted(model).items():
        for tensor, held in getattr(layer, "parametrizations", {}).items():
            if isinstance(held[0], Quantizer):
                held[0].observe(held.original)
                settle(f"{name}.{tensor}", held[0])


def _fit_thresholds(model: nn.Module) -> None:
    """The range of an adaptive threshold is that of the trained one."""
    for neuron in spiking(model).values():
        if isinstance(neuron, Competing) and isinstance(neuron.threshold_state, Quantizer):
            neuron.threshold_state.observe((neuron.threshold + neuron.adapted).unsqueeze(0))
            neuron.threshold_state.fit()


def _state_quantizers(model: nn.Module) -> dict[str, Quantizer]:
    found: dict[str, object] = dict(foreign.seated(model))
    for name, neuron in stateful(model).items():
        found[name] = getattr(neuron, HOLDERS["state"], None)
        found |= {f"{name}.{part}": getattr(neuron, HOLDERS[part], None) for part in PLACES}
    return {name: holder for name, holder in found.items() if isinstance(holder, Quantizer)}


def _is_quantized(model: nn.Module) -> bool:
    held = model.recipe if isinstance(model, Network) else None
    planned = plan(model, held) if isinstance(held, Recipe) else []
    return any(isinstance(module, Quantizer) for module in model.modules()) or any(hung.spec for hung in planned)


def _on_grid(spec: QuantizerSpec, value: Tensor) -> Tensor:
    snapped: Tensor = constant_quantizer(spec, value)(value.reshape(-1))
    return snapped.detach().reshape(value.shape)


def constant_quantizer(spec: QuantizerSpec, value: Tensor) -> Quantizer:
    """The quantizer of a constant, fitted to it."""
    quantizer = spec.build((value.numel(),)).eval()
    quantizer.observe(value.reshape(-1))
    quantizer.fit()
    return quantizer
