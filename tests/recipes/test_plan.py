import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.neurons import LIF
from spikequant.quantizers import FixedPoint, QuantizerSpec, Uniform
from spikequant.recipes import Hung, Override, Recipe, plan, quantize, weighted
from spikequant.recipes.plan import original

A, B, C, D = (Uniform(bits=bits, low=-1.0, high=1.0) for bits in (2, 3, 4, 5))


def grids(model: nn.Module, recipe: Recipe, part: str) -> dict[str, QuantizerSpec | None]:
    return {hung.layer: hung.spec for hung in plan(model, recipe) if hung.part == part}


def test_weighted_layers_in_order(model: Network) -> None:
    assert list(weighted(model)) == ["conv1", "conv2", "readout"]
    assert list(weighted(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(1, 1), nn.Conv1d(1, 1, 1))))) == ["1.0", "1.1"]


def test_plan_names_every_tensor_once(model: Network) -> None:
    assert plan(model, Recipe()) == [
        Hung("conv1", "weights", None),
        Hung("conv2", "weights", None),
        Hung("readout", "weights", None),
        Hung("readout", "biases", None),
        *[Hung(layer, part, None) for layer in ("lif1", "lif2") for part in ("state", "threshold", "decay")],  # type: ignore[arg-type]
    ]


def test_each_part_has_its_grid(model: Network) -> None:
    recipe = Recipe(weights=A, biases=B, state=C, constants=D)
    assert grids(model, recipe, "weights") == {"conv1": A, "conv2": A, "readout": A}
    assert grids(model, recipe, "biases") == {"readout": B}
    assert grids(model, recipe, "state") == {"lif1": C, "lif2": C}
    assert grids(model, recipe, "threshold") == grids(model, recipe, "decay") == {"lif1": D, "lif2": D}


def test_mappings_name_their_variable(model: Network) -> None:
    recipe = Recipe(state={"v": A}, constants={"threshold": B})
    assert grids(model, recipe, "state") == {"lif1": A, "lif2": A}
    assert grids(model, recipe, "threshold") == {"lif1": B, "lif2": B}
    assert grids(model, recipe, "decay") == {"lif1": None, "lif2": None}
    assert grids(model, Recipe(state={}), "state") == {"lif1": None, "lif2": None}


def test_an_adaptive_threshold_may_stand_among_the_constants() -> None:
    competing = build("stdp-net", inputs=4, neurons=3)
    for recipe, expected in [
        (Recipe(state=A), A),
        (Recipe(state={"v": A}), None),
        (Recipe(state={"v": A}, constants={"threshold": B}), B),
        (Recipe(state=A, constants={"threshold": B}), B),
        (Recipe(state={"v": A, "threshold": C}, constants={"threshold": B}), C),
    ]:
        assert grids(competing, recipe, "bound") == {"excitatory": expected}
        assert grids(competing, recipe, "state") == {"excitatory": A}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("same", "same", [A, A, A]),
        ("float", "same", [None, A, A]),
        ("same", "float", [A, A, None]),
        (B, C, [B, A, C]),
    ],
)
def test_first_and_last_layer(model: Network, first: object, last: object, expected: list[QuantizerSpec | None]) -> None:
    recipe = Recipe(weights=A, first=first, last=last)  # type: ignore[arg-type]
    assert list(grids(model, recipe, "weights").values()) == expected


def test_first_and_last_leave_biases_alone(model: Network) -> None:
    assert grids(model, Recipe(weights=A, biases=B, last="float"), "biases") == {"readout": B}


def test_of_a_single_layer_last_decides() -> None:
    assert grids(nn.Linear(1, 1), Recipe(weights=A, first=B, last=C), "weights") == {"": C}


def test_the_last_matching_override_decides(model: Network) -> None:
    overrides = {"conv*": Override(weights=B), "conv2": Override(weights=C), "*": Override(biases=D)}
    assert grids(model, Recipe(weights=A, overrides=overrides), "weights") == {"conv1": B, "conv2": C, "readout": A}
    swapped = dict(reversed(overrides.items()))
    assert grids(model, Recipe(weights=A, overrides=swapped), "weights") == {"conv1": B, "conv2": B, "readout": A}


def test_an_override_keeps_what_it_leaves_out(model: Network) -> None:
    overrides = {"conv1": Override(weights=B), "conv?": Override(biases=D)}
    assert grids(model, Recipe(weights=A, overrides=overrides), "weights") == {"conv1": B, "conv2": A, "readout": A}


def test_an_override_makes_float(model: Network) -> None:
    overrides = {"conv1": Override(weights="float"), "lif1": Override(state="float", constants="float")}
    recipe = Recipe(weights=A, state=B, constants=C, overrides=overrides)
    assert grids(model, recipe, "weights")["conv1"] is None
    assert grids(model, recipe, "state") == {"lif1": None, "lif2": B}
    assert grids(model, recipe, "threshold") == grids(model, recipe, "decay") == {"lif1": None, "lif2": C}


def test_an_override_beats_first_and_last(model: Network) -> None:
    assert grids(model, Recipe(weights=A, first="float", overrides={"conv1": Override(weights=B)}), "weights")["conv1"] == B


def test_an_override_of_constants_falls_back_variable_by_variable(model: Network) -> None:
    overrides = {"lif*": Override(constants={"decay": B}), "lif1": Override(constants={"threshold": C})}
    recipe = Recipe(constants={"threshold": A}, overrides=overrides)
    assert grids(model, recipe, "threshold") == {"lif1": C, "lif2": A}
    assert grids(model, recipe, "decay") == {"lif1": B, "lif2": B}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("cnv1", r"layer pattern 'cnv1' matches nothing; did you mean 'conv1'\?; layers are conv1, conv2, readout, lif1, lif2"),
        ("conv3*", "layer pattern 'conv3\\*' matches nothing"),
        ("Conv1", r"layer pattern 'Conv1' matches nothing; did you mean 'conv1'\?"),
        ("norm1", "layer pattern 'norm1' matches nothing"),
        ("", "layer pattern '' matches nothing"),
    ],
)
def test_refuses_a_pattern_that_matches_nothing(model: Network, pattern: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan(model, Recipe(overrides={pattern: Override(weights="float")}))
    with pytest.raises(SpecError, match=message):
        quantize(model, Recipe(weights=A, overrides={pattern: Override(weights="float")}))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"conv1": Override(state=A)}, "layer pattern 'conv1' gives state and matches no neuron; there are lif1, lif2"),
        ({"conv*": Override(constants={"decay": A})}, r"layer pattern 'conv\*' gives constants and matches no neuron"),
        ({"lif*": Override(constants={"theta": A, "decay": A, "reset": A})}, r"'lif\*': theta, reset: only neurons that compete"),
        ({"lif1": Override(weights=A)}, "layer pattern 'lif1' gives weights and matches no layer; there are conv1, conv2, readout"),
        ({"lif1": Override(activations=A)}, "layer pattern 'lif1' gives activations and matches no activation; there are none"),
    ],
)
def test_refuses_a_pattern_whose_layers_lack_the_part(model: Network, overrides: dict[str, Override], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan(model, Recipe(overrides=overrides))


def test_refuses_what_the_model_does_not_have(model: Network) -> None:
    for recipe in (Recipe(state=A), Recipe(state={"v": A}), Recipe(constants=A)):
        with pytest.raises(SpecError, match=r"the model has no neuron; leave (state|constants) out"):
            quantize(nn.Linear(1, 1), recipe)
    with pytest.raises(SpecError, match="activations: the model has no activation; leave activations out"):
        quantize(model, Recipe(activations=A))


def test_refuses_layers_that_take_no_grid_unless_they_stay_float() -> None:
    module = nn.Sequential(nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1))
    told = r"1: no grid is hung on (weights|biases) of a ConvTranspose2d, only on those of Conv1d, Conv2d and Linear; leave them float"
    for recipe in (Recipe(weights=A), Recipe(biases=A), Recipe(overrides={"1": Override(weights=A)})):
        with pytest.raises(SpecError, match=told):
            plan(module, recipe)
    assert grids(module, Recipe(weights=A, overrides={"1": Override(weights="float")}), "weights") == {"0": A}
    assert grids(module, Recipe(), "weights") == {"0": None}


def test_original_is_the_float_tensor_behind_the_grid(model: Network) -> None:
    quantized = quantize(model, Recipe(weights=A))
    assert isinstance(quantized, Network)
    found = original(quantized.conv1, "weight")
    assert found is not None
    assert found.equal(model.conv1.weight)
    assert not quantized.conv1.weight.equal(model.conv1.weight)
    assert original(model.conv1, "weight") is model.conv1.weight
    assert original(model.conv1, "bias") is None


def test_plan_of_a_quantized_model_is_that_of_the_float_one() -> None:
    model = build("squat-fmnist", time=1)
    recipe = Recipe(weights=A, biases=FixedPoint(integer=2, fraction=4), state=B)
    assert plan(quantize(model, recipe), recipe) == plan(model, recipe)


def test_plan_takes_any_module() -> None:
    module = nn.Sequential(nn.Linear(2, 3), LIF(decay=0.5))
    assert [(hung.layer, hung.part) for hung in plan(module, Recipe())] == [
        ("0", "weights"),
        ("0", "biases"),
        ("1", "state"),
        ("1", "threshold"),
        ("1", "decay"),
    ]
    assert torch.is_tensor(original(module[0], "bias"))
