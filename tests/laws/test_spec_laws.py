"""The laws of the specs: plain data, equal by value, and the same after TOML and JSON; and a mutant for each law."""

import copy
import json
import pickle
import tomllib
from collections.abc import Callable
from typing import Any, Literal

import pytest
import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

import spikequant
from spikequant.quantizers import AnySpec, QuantizerSpec
from spikequant.quantizers.table import SPECS

Law = Callable[[QuantizerSpec], None]


def reads_what_it_wrote(spec: QuantizerSpec) -> None:
    fields = spec.fields()
    for told in (fields, json.loads(json.dumps(fields)), tomllib.loads(tomli_w.dumps(fields))):
        assert type(spec).read(told) == spec
    assert None not in fields.values()
    assert (fields["kind"], fields["version"]) == (spec.kind, 1)


def is_told_by_its_kind(spec: QuantizerSpec) -> None:
    assert TypeAdapter(AnySpec).validate_python(spec.fields()) == spec
    assert SPECS[spec.kind] is type(spec)
    assert getattr(spikequant, type(spec).__name__) is type(spec)


def does_not_change(spec: QuantizerSpec) -> None:
    for name in type(spec).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(spec, name, getattr(spec, name))


def is_equal_by_value(spec: QuantizerSpec) -> None:
    for twin in (type(spec)(**spec.fields()), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert twin == spec
        assert hash(twin) == hash(spec)
    assert spec != spec.model_copy(update={"version": 2})


def has_words_for_tables(spec: QuantizerSpec) -> None:
    assert spec.label()
    assert "\n" not in spec.label()
    assert spec.width is None or 1 <= spec.width <= 24


LAWS = (reads_what_it_wrote, is_told_by_its_kind, does_not_change, is_equal_by_value, has_words_for_tables)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, spec: QuantizerSpec) -> None:
    law(spec)


def test_all_specs_of_the_table_differ(request: pytest.FixtureRequest) -> None:
    specs = [
        item.callspec.params["spec"]
        for item in request.session.items
        if item.name.startswith("test_law[is_equal_by_value") and item.path == request.path
    ]
    assert len(set(specs)) == len(specs)
    assert {spec.kind for spec in specs} == set(SPECS) or len(specs) < 20  # fewer where the run was narrowed


class Sound(QuantizerSpec):
    kind: Literal["sound"] = "sound"
    bits: int = 2
    low: float | None = None

    @property
    def width(self) -> int | None:
        return self.bits

    def label(self) -> str:
        return "sound"


class Forgets(Sound):
    def fields(self) -> dict[str, Any]:
        return {name: value for name, value in super().fields().items() if name != "bits"}


class WritesNone(Sound):
    def fields(self) -> dict[str, Any]:
        return self.model_dump()


class Thaws(Sound):
    model_config = ConfigDict(frozen=False)


class Unequal(Sound):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Sound.__hash__


class Unhashable(Sound):
    __hash__ = None  # type: ignore[assignment]


class Wordless(Sound):
    def label(self) -> str:
        return ""


def test_the_base_of_the_mutants_is_sound() -> None:
    for law in set(LAWS) - {is_told_by_its_kind}:
        law(Sound(bits=3))


@pytest.mark.parametrize(
    ("law", "mutant", "error"),
    [
        (reads_what_it_wrote, Forgets(bits=3), AssertionError),
        (reads_what_it_wrote, WritesNone(bits=3), TypeError),
        (is_told_by_its_kind, Sound(bits=3), ValidationError),
        (does_not_change, Thaws(bits=3), pytest.fail.Exception),
        (is_equal_by_value, Unequal(bits=3), AssertionError),
        (is_equal_by_value, Unhashable(bits=3), TypeError),
        (has_words_for_tables, Wordless(bits=3), AssertionError),
        (has_words_for_tables, Sound(bits=32), AssertionError),
    ],
)
def test_a_mutant_is_seen(law: Law, mutant: QuantizerSpec, error: type[BaseException]) -> None:
    with pytest.raises(error):
        law(mutant)
