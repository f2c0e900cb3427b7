import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from spikequant.errors import DataError
from spikequant.studies.grid import drafts
from spikequant.studies.pictured import PostTraining
from spikequant.studies.setups import checked
from spikequant.studies.study import Study, grouped
from spikequant.studies.table import PROCEDURES

GROUP = {"name": "a", "procedure": "supervised", "data": "digits", "model": "digits", "training": {"epochs": 1}, "measures": ["accuracy"]}


def found(group: Mapping[str, Any], procedures: Any = PROCEDURES, **fields: Any) -> list[str]:
    study = Study.read(grouped({"version": 1, "name": "s", "trials": [dict(group)], **fields}))
    return [f"{'.'.join(map(str, wrong.path))}: {wrong.text}" for wrong in checked(study, list(drafts(study)), procedures)[1]]


def test_what_is_right_has_a_setup() -> None:
    study = Study.read(grouped({"version": 1, "name": "s", "trials": [GROUP]}))
    setups, wrong = checked(study, list(drafts(study)), PROCEDURES)
    assert (setups["a/s0"].data, setups["a/s0"].seed, wrong) == ("digits", 0, [])


def test_fields_are_held_against_the_procedure_that_is_meant() -> None:
    told = found(GROUP | {"procedure": "supervsed", "batch_sze": 1})
    assert [line.partition(":")[0] for line in told] == ["trials.0.procedure", "trials.0.batch_sze"]
    shared = {"data": "digits", "model": "digits", "batch_sze": 1, "measures": ["accuracy"]}
    told = found({"name": "a", "procedure": "zzz"}, defaults=shared)
    assert told[0] == "defaults.batch_sze: no such field; did you mean 'batch_size'?"
    assert told[1].startswith("trials.0.procedure: unknown procedure 'zzz': must be one of ")
    assert len(told) == 2
    told = found({name: value for name, value in GROUP.items() if name != "procedure"})
    assert told == ["trials.0.procedure: is required: one of decolle, post_training, stdp, supervised"]


def test_an_objective_of_a_procedure_of_its_own_is_known_by_what_trials_measure() -> None:
    own = {"own": dataclasses.replace(PROCEDURES["post_training"], setup=PostTraining, check=lambda setup: None)}
    group = {"name": "a", "procedure": "own", "data": "digits", "model": "digits", "recipe": {}, "reference": "a"}
    assert found(group | {"measures": ["fit"]}, own, objective="fit") == []
    assert found(group | {"measures": ["fit"], "batch_size": 0}, own, objective="fit")[0].startswith("trials.0.batch_size: must be")
    assert found(group, own, objective="fit")[0].startswith("objective: unknown measure 'fit': must be one of accuracy, ")


def test_absent_data_is_told_where_nothing_else_is_wrong() -> None:
    def absent(setup: Any) -> None:
        raise DataError("no file")

    away = {"supervised": dataclasses.replace(PROCEDURES["supervised"], check=absent)}
    with pytest.raises(DataError, match="no file"):
        found(GROUP, away)
    two = found(GROUP | {"axes": ["size"]}, away, axes={"size": {"none": {"batch_size": 0}, "one": {"batch_size": 1}}})
    assert two == ["axes.size.none.batch_size: must be greater than or equal to 1, got 0; nearest valid value: 1"]
