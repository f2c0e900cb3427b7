"""The base of every frozen specification: strict, comparable, writable as TOML, and clear about what is wrong with it."""

import json
import math
import re
from collections.abc import Mapping, Sized
from itertools import groupby, product, takewhile
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from spikequant.errors import SpecError, nearest, unknown

ARMS = ("function-wrap", "dict[", "literal[")  # as pydantic calls the arms of a union: a grid, a mapping of them, a word
NAMED = {"tuple_type": "a list", "dict_type": "a table"}
COUNTED = {"too_short": "hold {min_length} or more items", "too_long": "hold at most {max_length} items"}
ARM = re.compile("|".join(map(re.escape, ARMS)))


class Spec(BaseModel):
    """What is wanted, as data: frozen, compared by value, without torch.

    Raises:
        SpecError: all that is wrong, each with its place, rule, value and the nearest valid value.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SpecError(explain(error, type(self))) from None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """The spec of a plain mapping, as TOML or JSON give it.

        Raises:
            SpecError: as the constructor.
        """
        if not isinstance(fields, Mapping):
            raise SpecError(f"{cls.__name__}: must be a table of fields, got {fields!r:.80}")
        try:
            return cls.model_validate_json(json.dumps(dict(fields)))
        except ValidationError as error:
            raise SpecError(explain(error, cls)) from None
        except RecursionError:
            raise SpecError(f"{cls.__name__}: nests too deeply") from None
        except TypeError as error:
            raise SpecError(f"{cls.__name__}: must be plain values, as JSON gives them: {error}") from None

    def fields(self) -> dict[str, Any]:
        """The plain mapping of this spec, without what is None."""
        return self.model_dump(mode="json", exclude_none=True)


def explain(error: ValidationError, spec: type[BaseModel]) -> str:
    """Every complaint of pydantic as one line: place, rule, value, nearest valid value."""
    kept: list[ErrorDetails] = []
    for _, details in groupby(filter(_true, error.errors(include_url=False)), key=_before_arm):
        kept += _meant(list(details))
    return "\n".join(_line(detail, spec) for detail in kept)


def _true(detail: ErrorDetails) -> bool:
    """Whether a complaint stands by itself: a list of wrong items is told to be short of right ones as well."""
    return detail["type"] != "too_short" or not (isinstance(detail["input"], Sized) and len(detail["input"]) >= detail["ctx"]["min_length"])


def _before_arm(detail: ErrorDetails) -> tuple[int | str, ...]:
    """The place of a union whose arm complains; the place of the complaint, where there is none."""
    return tuple(takewhile(lambda part: not ARM.match(str(part)), detail["loc"]))


def _meant(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of complaints about one value, those of the arm that it was meant for: a grid has a kind, a mapping names, a word neither."""
    arms = [".".join(map(str, detail["loc"][len(_before_arm(detail)) :])) for detail in details]
    grids, mappings, words = ([each for each, arm in zip(details, arms, strict=True) if arm.startswith(name)] for name in ARMS)
    if not mappings and not words:
        return details
    if any(detail["type"] not in ("union_tag_not_found", "model_attributes_type") for detail in grids):
        return grids
    named = [detail for detail in mappings if detail["type"] not in ("model_attributes_type", "dict_type")]
    if named or not words:
        return named if any(detail["loc"][-1] != "[key]" for detail in named) else grids + named
    expected = " or ".join(detail["ctx"]["expected"] for detail in words)
    return [{**words[0], "msg": f"{expected}, or a table with a kind", "ctx": {"expected": expected}}]


def _line(detail: ErrorDetails, spec: type[BaseModel]) -> str:
    parts = [str(part) for part in detail["loc"] if part != "[key]" and not ARM.match(str(part))]
    place = ".".join([spec.__name__, *parts])
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return f"{place}: no such field{nearest(str(detail['loc'][-1]), spec.model_fields)}"
    if detail["type"] == "missing":
        return f"{place}: is required"
    if detail["type"] == "value_error" and isinstance(context["error"], SpecError):
        return re.sub(r"^\w+", lambda _: place, str(context["error"]), flags=re.MULTILINE)  # a spec inside has explained itself
    if detail["type"] == "value_error":
        return f"{place}: {context['error']}"
    if detail["type"] == "union_tag_invalid":
        return unknown("kind", str(context["tag"]), re.findall(r"'(\w+)'", context["expected_tags"]), place)
    if detail["type"] == "union_tag_not_found":
        return f"{place}.kind: is required"
    if detail["type"] == "model_attributes_type":
        return f"{place}: must be a table with a kind, got {detail['input']!r:.80}"
    return f"{place}: must {_rule(detail, context)}, got {detail['input']!r}{_hint(detail['type'], detail['input'], context)}"


def _rule(detail: ErrorDetails, context: Mapping[str, Any]) -> str:
    """The rule in the words of a file; pydantic's own, where they fit."""
    if detail["type"] in NAMED:
        return f"be {NAMED[detail['type']]}"
    if detail["type"] in COUNTED:
        return COUNTED[detail["type"]].format_map(context)
    if detail["type"] == "string_pattern_mismatch":
        return f"match {context['pattern']}"
    return f"be {detail['msg'].removeprefix('Input should be ')}"


def _hint(kind: str, value: Any, context: Mapping[str, Any]) -> str:
    for bound in ("ge", "le"):
        if bound in context:
            return f"; nearest valid value: {context[bound]}"
    for bound, side in (("gt", "above"), ("lt", "below")):
        if bound in context:
            return f"; nearest valid value: just {side} {context[bound]:g}"
    if kind == "int_type" and isinstance(value, float) and math.isfinite(value):
        return f"; nearest whole number: {round(value)}"
    if kind == "tuple_type" and isinstance(value, str | int | float):
        return f"; nearest valid value: [{value!r}]"
    if kind == "string_pattern_mismatch":
        return _fitting(value, context["pattern"])
    if isinstance(value, str):
        return nearest(value, re.findall(r"'(\w+)'", str(context.get("expected", ""))))
    return ""


def _fitting(value: str, pattern: str) -> str:
    """As a hint the name that fits a pattern once its other characters are dashes or underscores, or its letters small."""
    for others, mark, name in product((r"[^\w.+-]+", r"\W+"), "-_", (value, value.lower())):
        found = re.sub(others, mark, name, flags=re.ASCII).strip("-_.+")[:64]
        if re.search(pattern, found):
            return f"; nearest valid value: {found!r}"
    return ""
