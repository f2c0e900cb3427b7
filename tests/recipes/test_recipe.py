from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.quantizers import LSQ, Anchored, Binary, FixedPoint, LQNet, ThresholdCentered, Uniform, ZeroCentered
from spikequant.recipes import Override, Recipe

NARROW = Uniform(bits=4, low=-1.0, high=1.0)
RECIPES = [
    Recipe(),
    Recipe(weights=NARROW, biases=FixedPoint(integer=1, fraction=6, rounding="stochastic"), first="float", last=LSQ(bits=8), seed=7),
    Recipe(weights=LQNet(bits=2, clip=10.0), state={"v": ThresholdCentered(bits=4)}, snapped="both"),
    Recipe(
        weights=Binary(scale="one"),
        state=ZeroCentered(bits=3, multiplier=0.5),
        constants={"threshold": FixedPoint(integer=None, fraction=4)},
    ),
    Recipe(
        weights=Uniform(bits=4, per_channel=True, observer="percentile"),
        constants=Anchored(bits=3),
        overrides={
            "conv*": Override(weights="float", state=NARROW),
            "conv2": Override(biases=NARROW, constants="float"),
            'a "quoted" name': Override(constants={"decay": NARROW}),
        },
    ),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_toml_and_back(recipe: Recipe) -> None:
    read = Recipe.from_toml(recipe.to_toml())
    assert read == recipe
    assert list(read.overrides) == list(recipe.overrides)
    assert Recipe.read(recipe.fields()) == recipe


def test_toml_as_written_by_hand() -> None:
    text = """
        first = "float"
        [weights]
        kind = "lqnet"
        bits = 2
        [state.v]
        kind = "uniform"
        bits = 4
        low = 0
        high = 1.0
        [overrides."conv?".weights]
        kind = "fixed_point"
        integer = 1
        fraction = 6
    """
    override = Override(weights=FixedPoint(integer=1, fraction=6))
    state = {"v": Uniform(bits=4, low=0.0, high=1.0)}
    assert Recipe.from_toml(text) == Recipe(weights=LQNet(bits=2), state=state, first="float", overrides={"conv?": override})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights =", "not valid TOML"),
        ("seed = 1\nseed = 2", "not valid TOML"),
        ("seed = " + "9" * 5000, "not valid TOML"),
        ("weights = " + "[" * 5000, "not valid TOML"),
        ("weights = " + "[" * 900 + "]" * 900, "not valid TOML|weights"),
        ("seed = 1979-05-27", "must be plain values, as JSON gives them"),
        ("seed = nan", "seed"),
        ("seed = -1", "seed: must be .*got -1; nearest valid value: 0"),
        ("seed = 4294967296", "seed: must be .*nearest valid value: 4294967295"),
        ("version = 2", "version: must be 1, got 2"),
        ("wieghts = 1", "wieghts: no such field; did you mean 'weights'"),
        ("weights = 'uniform'", "weights"),
        ("first = 'floats'", "first"),
        ("snapped = 'before'", "snapped: .*got 'before'"),
        ("[weights]\nbits = 2", "weights"),
        ("[weights]\nkind = 'unifrom'\nbits = 2", "weights: .*unifrom.*uniform"),
        ("[weights]\nkind = 'uniform'\nbits = 0\nlow = 0.0\nhigh = 1.0", "bits: .*got 0; nearest valid value: 1"),
        ("[weights]\nkind = 'uniform'\nbits = 40\nlow = 0.0\nhigh = 1.0", "bits: .*got 40; nearest valid value: 16"),
        ("[weights]\nkind = 'uniform'\nbits = '4'", "bits"),
        ("[weights]\nkind = 'uniform'\nbits = 2\nlow = -inf\nhigh = 1.0", "low: must be a finite number"),
        ("[state.u]\nkind = 'uniform'\nbits = 2", "state"),
        ("[constants.tau]\nkind = 'uniform'\nbits = 2", "constants"),
        ("[overrides.conv1]\nweight = 'float'", "weight: no such field; did you mean 'weights'"),
    ],
    ids=lambda text: text[:40],
)
def test_refuses_toml(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe.from_toml(text)


@pytest.mark.parametrize(
    ("notation", "weights", "neuron"),
    [
        ("W(Q1.6)-N(Q11.6)", FixedPoint(integer=1, fraction=6), FixedPoint(integer=11, fraction=6)),
        ("W(FP32)-N(Qi.6)", None, FixedPoint(integer=None, fraction=6)),
        ("W(Qi.4)-N(FP32)", FixedPoint(integer=None, fraction=4), None),
        ("W(Q0.0)-N(Q23.0)", FixedPoint(integer=0, fraction=0), FixedPoint(integer=23, fraction=0)),
        ("W(FP32)-N(FP32)", None, None),
    ],
)
def test_notation_is_read_and_printed(notation: str, weights: FixedPoint | None, neuron: FixedPoint | None) -> None:
    recipe = Recipe.parse(notation)
    assert recipe == Recipe(weights=weights, state=neuron, constants=neuron)
    assert recipe.notation() == notation
    assert Recipe.parse(f" {notation}\n") == recipe


@pytest.mark.parametrize("rounding", ["truncate", "nearest", "stochastic"])
def test_notation_takes_its_rounding_beside_it(rounding: str) -> None:
    recipe = Recipe.parse("W(Q1.6)-N(Q11.6)", rounding)  # type: ignore[arg-type]
    assert recipe.weights is not None
    assert recipe.weights.rounding == rounding
    assert recipe.notation() == "W(Q1.6)-N(Q11.6)"


@pytest.mark.parametrize(
    "notation",
    [
        *["", "W(Q1.6)", "N(Q1.6)", "W(Q1.6)N(Q1.6)", "W(Q1.6)-N(Q11.6)-", "xW(Q1.6)-N(Q11.6)", "N(Q1.6)-W(Q11.6)"],
        *["w(q1.6)-n(fp32)", "W(Q1.6) - N(Q11.6)", "W(Q1,6)-N(Q11.6)", "W(Q1.6)-N(Q11)", "W(Q1.6)-N(Q.6)", "W(Q1.6)-N(Q11.)"],
        *["W(Q-1.6)-N(FP32)", "W(Q1.i)-N(FP32)", "W(QI.6)-N(FP32)", "W(FP16)-N(FP32)", "W(1.6)-N(FP32)", "W()-N()", "W(Q1.6]-N(FP32)"],
        *["W(Q٣.6)-N(FP32)", "W(Q1.6)-N(Q11.6)\nW(Q1.6)-N(Q11.6)", f"W(Q{'9' * 5000}.6)-N(FP32)"],
    ],
    ids=lambda notation: notation[:30],
)
def test_refuses_malformed_notation(notation: str) -> None:
    with pytest.raises(SpecError, match=r"must look like W\(Q1\.6\)-N\(Q11\.6\)"):
        Recipe.parse(notation)


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("W(Q24.0)-N(FP32)", "integer: must be .*got 24; nearest valid value: 23"),
        ("W(FP32)-N(Qi.24)", "fraction: must be .*got 24; nearest valid value: 23"),
        ("W(Q12.12)-N(FP32)", r"integer \+ fraction must be at most 23, got 12 \+ 12: .*nearest valid value: fraction = 11"),
    ],
)
def test_refuses_formats_that_float32_cannot_hold(notation: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe.parse(notation)


Q = FixedPoint(integer=1, fraction=6)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(weights=NARROW),
        Recipe(weights=Q, state=Q),
        Recipe(weights=Q, constants=Q),
        Recipe(weights=Q, state={"v": Q}, constants={"threshold": Q, "decay": Q}),
        Recipe(weights=Q, biases=Q),
        Recipe(weights=Q, first="float"),
        Recipe(weights=Q, last=NARROW),
        Recipe(weights=Q, snapped="both"),
        Recipe(weights=Q, seed=1),
        Recipe(weights=Q, overrides={"conv1": Override()}),
        Recipe(weights=Q, state=Q.model_copy(update={"rounding": "truncate"}), constants=Q.model_copy(update={"rounding": "truncate"})),
        Recipe(weights=Q.model_copy(update={"gradient": "mask"})),
    ],
)
def test_refuses_to_print_what_the_notation_cannot_say(recipe: Recipe) -> None:
    with pytest.raises(SpecError, match="have a notation; use to_toml"):
        recipe.notation()


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        (Recipe(), "float / float"),
        (Recipe(weights=NARROW), "uniform [-1, 1] 4 bits / float"),
        (Recipe(weights=Q, state={"v": NARROW}), "Q1.6 8 bits / v uniform [-1, 1]"),
        (Recipe(weights=Q, state={}), "Q1.6 8 bits / float"),
    ],
)
def test_label(recipe: Recipe, label: str) -> None:
    assert recipe.label() == label


def test_recipes_are_frozen_and_share_nothing() -> None:
    with pytest.raises(Exception, match="frozen"):
        Recipe().seed = 1  # type: ignore[misc]
    assert Recipe().overrides is not Recipe().overrides


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ({"weight_bits": 9}, "weight_bits must be a whole number from 1 to 8, got 9"),
        ({"weight_bits": "4"}, "weight_bits must be a whole number from 1 to 8, got '4'"),
        ({"state_bits": 0}, "state_bits must be a whole number from 1 to 24, got 0"),
        ({"state_bits": 32}, "state_bits must be a whole number from 1 to 24, got 32"),
    ],
)
def test_bits_of_an_integer_recipe_are_named(bits: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"Recipe.integer: {message}"):
        Recipe.integer(**bits)
