"""The leaderboard: what finished records say of each method, with intervals; and a study with one more method in it."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

import tomli_w

from spikequant import files
from spikequant.errors import SpecError, unknown
from spikequant.search import half_width
from spikequant.studies.doubt import is_reading
from spikequant.studies.planning import Plan, plan, read_text
from spikequant.studies.records import Record, read_all
from spikequant.studies.resolve import resolve_method

CONFIDENCE = 0.95
Part = Literal["weights", "state"]


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval; unknown (None) with one seed."""

    mean: float
    low: float | None
    high: float | None


class Standing(NamedTuple):
    """One method: ``uncertain`` where it holds our reading of a paper that says too little."""

    method: str
    seeds: int
    uncertain: bool
    values: Mapping[str, Estimate]


def standings(folders: Iterable[Path], study: str) -> list[Standing]:
    """One line for each method of a study's records, the most accurate first; those without an accuracy last, by name.

    The first of ``folders`` is the study's own, in the folder of text records that ``spikequant run --results`` takes.

    Raises:
        SpecError: there is no record of that study.
        FormatError: a file there is no record.
    """
    places = list(folders)
    groups: dict[str, list[Record]] = {}
    for record in read_all(places).values():
        if record.study == study:
            groups.setdefault(record.name.rpartition("/")[0], []).append(record)
    if not groups:
        shown = " nor ".join(map(str, places))
        raise SpecError(f"no record of study {study!r} in {shown}; run it: spikequant run {study} --results {places[0].parent}")
    found = [_standing(method, records) for method, records in groups.items()]
    worst = Estimate(-math.inf, None, None)
    return sorted(found, key=lambda standing: (-standing.values.get("accuracy", worst).mean, standing.method))


def _standing(method: str, records: list[Record]) -> Standing:
    found: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.measures.items():
            if value is not None:
                found.setdefault(name, []).append(float(value))
    values = {name: estimate(each) for name, each in found.items()}
    return Standing(method, len(records), any(is_reading(record.configuration) for record in records), values)


def estimate(values: list[float]) -> Estimate:
    """Mean and interval by Student's t.

    >>> estimate([1.0, 2.0, 3.0]).high
    4.48413771...
    """
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None)
    reach = half_width(CONFIDENCE, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - reach, mean + reach)


def joined(word: str, method: str, part: Part, out: Path) -> Plan:
    """The plan of a study's group ``part`` with a method of the user's own (``package.module:Spec``) in place of its options.

    The study with the method in it is written to ``out``.

    Raises:
        SpecError: no such method or study, or the study has no such group.
    """
    spec = resolve_method(method).read({"kind": method})
    plan(word, absent_data=True)  # tells what is wrong with the study itself, by its own lines
    document = tomllib.loads(read_text(word))
    groups: dict[str, dict[str, Any]] = {group["name"]: group for group in document["trials"]}
    if part not in groups:
        raise SpecError(f"study {word!r}: {unknown('group', part, groups)}")
    recipe = groups[part].get("recipe", {}) | {part: spec.fields()}
    mine = {key: value for key, value in groups[part].items() if key not in ("axes", "without")}
    document["trials"].append(mine | {"name": type(spec).__name__, "recipe": recipe})
    path = files.folder(out) / "leaderboard.toml"
    files.write(path, tomli_w.dumps(document))
    return plan(str(path), only=type(spec).__name__)
