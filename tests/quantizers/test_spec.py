import copy
import pickle
import tomllib
from typing import Annotated, Literal

import pytest
import tomli_w
from pydantic import Field, ValidationError, model_validator

from spikequant.errors import SpecError
from spikequant.quantizers import AnySpec, Binary, Uniform
from spikequant.quantizers.spec import Spec
from spikequant.recipes import Recipe


class Cup(Spec):
    kind: Literal["cup"] = "cup"
    size: Annotated[int, Field(ge=1, le=9)] = 3
    fill: Annotated[float, Field(ge=0, lt=1)] | None = None
    depth: Annotated[float, Field(gt=0)] | None = None
    glaze: Literal["white", "celadon"] = "white"
    mark: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,7}$")] | None = None
    firings: Annotated[tuple[Annotated[int, Field(le=9)], ...], Field(min_length=1, max_length=2, strict=False)] | None = None
    notes: dict[str, str] | None = None

    @model_validator(mode="after")
    def _holds(self) -> "Cup":
        if self.size == 9 and self.fill is None:
            raise ValueError("size 9 needs a fill")
        return self


class Shelf(Spec):
    cup: Cup
    weights: AnySpec | None = None
    by_name: dict[str, AnySpec] = Field(default_factory=dict)


def complaint(**fields: object) -> str:
    with pytest.raises(SpecError) as caught:
        Cup(**fields)
    assert not isinstance(caught.value, ValidationError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 0}, "Cup.size: must be greater than or equal to 1, got 0; nearest valid value: 1"),
        ({"size": 40}, "Cup.size: must be less than or equal to 9, got 40; nearest valid value: 9"),
        ({"size": True}, "Cup.size: must be a valid integer, got True"),
        ({"size": "3"}, "Cup.size: must be a valid integer, got '3'"),
        ({"size": 3.0}, "Cup.size: must be a valid integer, got 3.0; nearest whole number: 3"),
        ({"size": 2.6}, "Cup.size: must be a valid integer, got 2.6; nearest whole number: 3"),
        ({"fill": float("nan")}, "Cup.fill: must be a finite number, got nan"),
        ({"fill": float("inf")}, "Cup.fill: must be a finite number, got inf"),
        ({"fill": 1.0}, "Cup.fill: must be less than 1, got 1.0; nearest valid value: just below 1"),
        ({"depth": 0.0}, "Cup.depth: must be greater than 0, got 0.0; nearest valid value: just above 0"),
        ({"glaze": "celedon"}, "Cup.glaze: must be 'white' or 'celadon', got 'celedon'; did you mean 'celadon'?"),
        ({"glaze": "black"}, "Cup.glaze: must be 'white' or 'celadon', got 'black'"),
        ({"mark": "Kiln 3.1"}, "Cup.mark: must match ^[a-z][a-z0-9_]{0,7}$, got 'Kiln 3.1'; nearest valid value: 'kiln_3_1'"),
        ({"mark": "?"}, "Cup.mark: must match ^[a-z][a-z0-9_]{0,7}$, got '?'"),
        ({"firings": []}, "Cup.firings: must hold 1 or more items, got []"),
        ({"firings": [1, 2, 3]}, "Cup.firings: must hold at most 2 items, got [1, 2, 3]"),
        ({"firings": [10]}, "Cup.firings.0: must be less than or equal to 9, got 10; nearest valid value: 9"),
        ({"firings": 3}, "Cup.firings: must be a list, got 3; nearest valid value: [3]"),
        ({"notes": 3}, "Cup.notes: must be a table, got 3"),
        ({"sice": 3}, "Cup.sice: no such field; did you mean 'size'?"),
        ({"zzz": 3}, "Cup.zzz: no such field"),
        ({"size": 9}, "Cup: size 9 needs a fill"),
    ],
)
def test_messages_name_place_rule_value_and_the_nearest(fields: dict[str, object], message: str) -> None:
    assert complaint(**fields) == message
    with pytest.raises(SpecError) as caught:
        Cup.read(fields)
    assert str(caught.value) == message


def test_everything_wrong_is_told_at_once() -> None:
    lines = complaint(size=0, glaze="whyte", hue=1).splitlines()
    assert [line.split(":")[0] for line in lines] == ["Cup.size", "Cup.glaze", "Cup.hue"]


def test_what_is_missing_is_told() -> None:
    with pytest.raises(SpecError, match=r"^Shelf.cup: is required$"):
        Shelf()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"kind": "lqnt", "bits": 2}, r"^Shelf.weights: unknown kind 'lqnt': must be one of anchored, binary, .*; did you mean 'lqnet'\?$"),
        ({"bits": 2}, r"^Shelf.weights.kind: is required$"),
        (
            {"kind": "uniform", "bits": 0},
            r"^Shelf.weights.uniform.bits: must be greater than or equal to 1, got 0; nearest valid value: 1$",
        ),
        ({"kind": "uniform", "bits": 2, "lw": 1}, r"^Shelf.weights.uniform.lw: no such field; did you mean 'low'\?$"),
        ({"kind": "uniform", "bits": 2, "low": 1}, r"^Shelf.weights.uniform: low and high must be given together, or neither$"),
    ],
)
def test_places_inside_another_spec(weights: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Shelf.read({"cup": {}, "weights": weights})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"state": {"kind": "uniform", "bits": 40}},
            "Recipe.state.uniform.bits: must be less than or equal to 16, got 40; nearest valid value: 16",
        ),
        (
            {"state": {"v": {"kind": "uniform", "bits": 40}}},
            "Recipe.state.v.uniform.bits: must be less than or equal to 16, got 40; nearest valid value: 16",
        ),
        (
            {"constants": {"dcay": {"kind": "binary"}}},
            "Recipe.constants.kind: is required\nRecipe.constants.dcay: must be 'threshold', 'decay', "
            "'synapse', 'inhibitory', 'reset', 'theta', 'alpha', 'beta' or 'gamma', got 'dcay'; did you mean 'decay'?",
        ),
        (
            {"first": {"kind": "lqnet", "bits": 9}},
            "Recipe.first.lqnet.bits: must be less than or equal to 8, got 9; nearest valid value: 8",
        ),
        ({"first": "flaot"}, "Recipe.first: must be 'float' or 'same', or a table with a kind, got 'flaot'; did you mean 'float'?"),
        ({"state": "lqnet"}, "Recipe.state: must be a table with a kind, got 'lqnet'"),
        ({"weights": 4}, "Recipe.weights: must be a table with a kind, got 4"),
        (
            {"first": {"kind": "a:b"}},
            "Recipe.first.kind: 'a:b' is code that was not imported: import it, or name it on the command line (--method)",
        ),
    ],
)
def test_of_the_ways_to_say_a_grid_the_one_that_was_meant_is_explained(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Recipe.read(fields)
    assert str(caught.value) == message


def test_each_line_of_an_inner_complaint_has_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        Shelf.read({"cup": {"size": 0, "glaze": "red"}, "by_name": {"conv1": {"kind": "binary", "bits": 1}}})
    places = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert places == ["Shelf.cup.size", "Shelf.cup.glaze", "Shelf.by_name.conv1.binary.bits"]


def test_the_plain_mapping_and_back() -> None:
    shelf = Shelf(cup=Cup(size=2), weights=Uniform(bits=2, low=-1, high=1), by_name={"conv1": Binary(scale="one")})
    fields = shelf.fields()
    assert fields["cup"] == {"kind": "cup", "size": 2, "glaze": "white"}
    assert Shelf.read(fields) == shelf
    assert Shelf.read(tomllib.loads(tomli_w.dumps(fields))) == shelf
    assert isinstance(Shelf.read(fields).by_name["conv1"], Binary)


def test_specs_do_not_change_and_are_compared_by_value() -> None:
    cup = Cup(size=2)
    with pytest.raises(ValidationError, match="frozen"):
        cup.size = 3
    assert cup == Cup(size=2) != Cup(size=3)
    assert len({cup, Cup(size=2), Cup()}) == 2
    assert copy.deepcopy(cup) == pickle.loads(pickle.dumps(cup)) == cup


@pytest.mark.parametrize("fields", [None, 3, 0.5, "cup", ["a"], [["size", 3]]])
def test_what_is_no_table_is_refused(fields: object) -> None:
    with pytest.raises(SpecError, match="Cup: must be a table of fields, got"):
        Cup.read(fields)


def test_a_spec_within_a_mapping_is_refused() -> None:
    with pytest.raises(SpecError, match="Cup: must be plain values, as JSON gives them: Object of type Cup"):
        Cup.read({"size": Cup(size=3)})


def test_what_nests_without_end_is_refused() -> None:
    deep: object = 3
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SpecError, match="Cup: nests too deeply"):
        Cup.read({"size": deep})


def test_a_name_with_a_backslash_is_told_as_it_is() -> None:
    with pytest.raises(SpecError, match=r"Shelf\.by_name\.C:\\canary"):
        Shelf.read({"by_name": {"C:\\canary": {"kind": "uniform", "bits": 4, "low": 2.0, "high": 1.0}}})
