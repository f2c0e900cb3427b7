import json
import tomllib
from typing import Any

import pytest

from spikequant.search import paper_rows
from spikequant.studies.grid import Misplaced, drafts, merge, mistakes, referred
from spikequant.studies.planning import shipped
from spikequant.studies.study import Study, grouped


def study(**fields: Any) -> Study:
    return Study.read(grouped({"version": 1, "name": "s", **fields}))


GRID = study(
    seeds=[0, 1],
    defaults={"lr": 1, "batch": 8},
    axes={"net": {"n1": {"model": "a"}, "n2": {"model": "b", "tags": ["big"]}}, "bits": {"b2": {"bits": 2}, "b4": {"bits": 4}}},
    trials=[
        {"name": "float", "axes": ["net"], "batch": 4},
        {"name": "low", "axes": ["net", "bits"], "reference": "float", "tags": ["table1"], "without": ["n1 b4"], "seeds": [1]},
    ],
)


def test_the_product_of_options_and_seeds_makes_the_trials() -> None:
    found = {draft.name: draft for draft in drafts(GRID)}
    assert list(found) == ["float/n1/s0", "float/n1/s1", "float/n2/s0", "float/n2/s1", "low/n1/b2/s1", "low/n2/b2/s1", "low/n2/b4/s1"]
    assert found["low/n2/b4/s1"].fields == {"lr": 1, "batch": 8, "model": "b", "bits": 4}
    assert found["low/n2/b4/s1"].tags == ("low", "table1", "n2", "b4", "s1", "big")
    assert found["float/n1/s0"].fields["batch"] == 4


def test_every_field_knows_who_set_it() -> None:
    draft = next(draft for draft in drafts(GRID) if draft.name == "float/n2/s0")
    assert draft.origins["lr",] == ("defaults", "lr")
    assert draft.origins["batch",] == ("trials", 0, "batch")
    assert draft.origins["model",] == ("axes", "net", "n2", "model")


def test_options_do_not_leak_into_each_other() -> None:
    nested = study(
        defaults={"recipe": {"seed": 1}},
        axes={"a": {"x": {"recipe": {"bits": 2}}, "y": {}}},
        trials=[{"name": "t", "axes": ["a"]}],
    )
    first, second = drafts(nested)
    assert first.fields["recipe"] == {"seed": 1, "bits": 2}
    assert second.fields["recipe"] == {"seed": 1}
    assert nested.defaults == {"recipe": {"seed": 1}}


def test_a_table_of_another_kind_replaces_what_was_there_and_its_origins() -> None:
    fields: dict[str, Any] = {}
    origins: dict[Any, Any] = {}
    merge(fields, {"w": {"kind": "uniform", "low": -1}}, origins, ("defaults",))
    merge(fields, {"w": {"kind": "lqnet"}}, origins, ("trials", 0))
    assert fields == {"w": {"kind": "lqnet"}}
    assert origins == {("w",): ("trials", 0, "w"), ("w", "kind"): ("trials", 0, "w", "kind")}


def test_a_reference_has_the_shared_options_and_the_seed() -> None:
    every = list(drafts(GRID))
    low = next(draft for draft in every if draft.name == "low/n2/b4/s1")
    found = referred(GRID, every, low)
    assert found is not None
    assert found[0].name == "float/n2/s1"
    assert [twin.name for twin in found[1]] == ["float/n2/s0"]
    assert referred(GRID, every, every[0]) is None


def test_a_reference_of_a_seed_that_does_not_exist_is_refused() -> None:
    lonely = study(trials=[{"name": "float"}, {"name": "low", "reference": "float", "reference_seed": 7}])
    every = list(drafts(lonely))
    with pytest.raises(Misplaced, match="seed 7"):
        referred(lonely, every, every[1])


def test_names_that_fit_nothing_are_all_told() -> None:
    wrong = study(
        axes={"bits": {"b2": {"tags": "no list"}}},
        trials=[
            {"name": "a", "axes": ["bit"]},
            {"name": "a", "reference": "flaot"},
            {"name": "float", "axes": ["bits"], "without": ["b3"]},
        ],
    )
    told = {(error.path, error.text) for error in mistakes(wrong)}
    assert {path for path, _ in told} == {
        ("axes", "bits", "b2", "tags"),
        ("trials", 0, "axes"),
        ("trials", 1, "name"),
        ("trials", 1, "reference"),
        ("trials", 2, "without"),
    }
    assert "did you mean 'float'" in str(sorted(told))


def test_what_is_said_twice_is_told() -> None:
    axes = {"bits": {"b2": {"bits": 2}}}
    wrong = study(
        seeds=[0, 1, 0],
        axes=axes,
        trials=[{"name": "a", "axes": ["bits", "bits"]}, {"name": "b", "seeds": [3, 3]}, {"name": "s1"}, {"name": "c", "tags": ["s3"]}],
    )
    assert [(error.path, error.text.partition(";")[0]) for error in mistakes(wrong)] == [
        (("seeds",), "0 is there twice"),
        (("trials", 0, "axes"), "'bits' is there twice"),
        (("trials", 1, "seeds"), "3 is there twice"),
        (("trials", 2, "name"), "'s1' is the tag of a seed, and would be lost in it"),
        (("trials", 3, "tags"), "'s3' is the tag of a seed, and would be lost in it"),
    ]


def shipped_drafts(name: str) -> list[Any]:
    return list(drafts(Study.read(grouped(tomllib.loads(shipped()[name].read_text())))))


def test_an_option_is_not_named_as_a_seed() -> None:
    axes = {"bits": {"s2": {"bits": 2}, "s4": {"bits": 4}}}
    named = study(seeds=[0, 1], axes=axes, trials=[{"name": "low", "axes": ["bits"]}, {"name": "more", "seeds": [1, 2]}])
    (mistake,) = mistakes(named)
    assert mistake.path == ("axes", "bits", "s2")
    assert "'s2' is the tag of a seed" in str(mistake)


def test_beyond_accuracy_has_a_trial_for_each_row_of_the_paper() -> None:
    found = [frozenset(draft.tags) for draft in shipped_drafts("beyond-accuracy") if draft.seed == 0]
    assert len(found) == len({*found}) == 100
    assert {tags - {"s0"} for tags in found} == {row.tags for row in paper_rows("beyond-accuracy")}
    assert len([tags for tags in found if {"table1", "cifar10", "resnet8"} <= tags]) == 16


@pytest.mark.parametrize(("name", "count"), [("beyond-accuracy-small", 21), ("beyond-accuracy-width", 7), ("beyond-accuracy-digits", 25)])
def test_smaller_forms_fill_no_cell_of_the_papers(name: str, count: int) -> None:
    found = [frozenset(draft.tags) - {"s0"} for draft in shipped_drafts(name) if draft.seed == 0]
    assert len(found) == count
    assert not {*found} & {row.tags for row in paper_rows("beyond-accuracy")}


def test_stompp_pairs_every_method_with_its_baseline_under_one_recipe() -> None:
    drafted = {draft.tags: draft for draft in shipped_drafts("stompp-small") if draft.seed == 0}
    assert len(drafted) == 41
    tags = {frozenset(each) - {"s0"} for each in drafted}
    for network in ("resnet8", "resnet20"):
        for parts in ("bwn", "bnn"):
            assert {frozenset({network, parts, method, "core"}) for method in ("ste", "stompp", "global")} <= tags
    full = [frozenset(draft.tags) - {"s0"} for draft in shipped_drafts("stompp") if draft.seed == 0]
    assert len({*full}) == 46
    printed = {row.tags for row in paper_rows("stompp") if "accuracy" in row.measures}
    assert printed <= {*full}
    digits = [frozenset(draft.tags) for draft in shipped_drafts("stompp-digits") if draft.seed == 0]
    assert len({*digits}) == 16


@pytest.mark.parametrize(
    "name",
    [
        "qspinn-unsupervised",
        "qspinn-inhibition",
        "stompp",
        "stompp-small",
        "squat",
        "beyond-accuracy",
        "beyond-accuracy-small",
        "membranes",
        "baselines",
    ],
)
def test_no_two_trials_of_a_shipped_study_say_the_same(name: str) -> None:
    said = [json.dumps([draft.fields, draft.group, draft.seed], sort_keys=True) for draft in shipped_drafts(name)]
    assert len({*said}) == len(said)
