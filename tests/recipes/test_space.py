import pytest

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.quantizers import LSQ, MINT, FixedPoint, LQNet, Uniform
from spikequant.recipes import Recipe, Space, quantize

STATE = Uniform(bits=4, low=-1.0, high=1.0)


def test_axes_are_the_lists_in_order_with_readable_choices() -> None:
    space = Space(time=(8, 4), weights=("float", LQNet(bits=2)), layers={"conv*": {"state": (STATE,)}})  # type: ignore[dict-item]
    assert [axis.name for axis in space.axes] == ["time", "weights", "conv*.state"]
    assert space.counts == (2, 2, 1)
    assert [space.axes[1].label(level) for level in (0, 1)] == ["float", "LQ-Net 2 bits"]
    assert space.axes[0].label(1) == "4"


def test_a_choice_becomes_a_recipe() -> None:
    thresholds = (FixedPoint(integer=1, fraction=4),)
    fc = {"fc": {"weights": ("float",)}}
    space = Space(time=(8, 4), weights=("float", LQNet(bits=2)), threshold=thresholds, layers=fc)  # type: ignore[arg-type]
    recipe = space.recipe((1, 1, 0, 0))
    assert recipe.weights == LQNet(bits=2)
    assert recipe.constants == {"threshold": FixedPoint(integer=1, fraction=4)}
    assert recipe.overrides["fc"].weights == "float"
    assert space.steps((1, 1, 0, 0)) == 4
    assert Space(weights=("float",)).recipe((0,)) == Recipe()
    assert Space(weights=("float",)).steps((0,)) is None


def test_every_constant_is_an_axis_that_may_be_searched() -> None:
    grids = (FixedPoint(integer=1, fraction=8), FixedPoint(integer=1, fraction=4))
    space = Space(weights=("float",), alpha=grids, gamma=grids)
    assert [axis.name for axis in space.axes] == ["weights", "alpha", "gamma"]
    assert space.recipe((0, 1, 0)).constants == {"alpha": grids[1], "gamma": grids[0]}


def test_one_rounding_is_given_to_every_fixed_point_grid() -> None:
    space = Space.fixed_point(fractions=(8, 4))
    recipe = space.recipe((0, 1, 1), "truncate")
    assert recipe.weights == FixedPoint(integer=None, fraction=8, rounding="truncate")
    assert recipe.state == FixedPoint(integer=None, fraction=4, rounding="truncate")
    assert space.roundings == ("truncate", "nearest", "stochastic")


def test_a_space_survives_toml() -> None:
    layer = "[layers.fc]\nstate = [{ kind = 'anchored', bits = 3 }]"
    text = "schemes = ['ptq', 'itq']\nweights = ['float', { kind = 'lqnet', bits = 2 }]\n" + layer
    space = Space.from_toml(text)
    assert Space.read(space.fields()) == space
    assert space.counts == (2, 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the space is empty"),
        ("weights = [{kind='lqnet', bits=2}, 'float']", r"weights: choices must go from fine to coarse, got widths \[2, 32\]"),
        (
            "weights = [{kind='fixed_point', integer=1, fraction=6}, {kind='uniform', bits=12}]",
            r"weights: choices must go from fine to coarse, got widths \[8, 12\]",
        ),
        ("roundings = ['truncate']\nweights = ['float']", "roundings are for fixed-point grids"),
        ("weigths = ['float']", "did you mean 'weights'"),
        ("time = [0]", "nearest valid value: 1"),
        ("time = [", "not valid TOML"),
    ],
)
def test_a_bad_space_is_explained(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        Space.from_toml(text)


@pytest.mark.parametrize("levels", [(), (0, 0), (2,), (-1,)])
def test_a_choice_that_is_none_is_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"levels: must be one for each axis, from 0 to below \(2,\), got"):
        Space(weights=(LSQ(bits=4), LSQ(bits=2))).recipe(levels)


def test_what_a_method_needs_besides_is_in_every_recipe() -> None:
    space = Space(weights=(LSQ(bits=4),), state=(MINT(bits=4), MINT(bits=2)), snapped="after_reset", batch_norm="folded")
    small = quantize(build("digits"), space.recipe((0, 1)))
    assert (small.lif1.snapped, small.lif1.state.grid().size) == ("after_reset", 4)
    assert small.wiring.of_kind("batch_norm") == []
