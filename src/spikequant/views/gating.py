"""The verb that gates: check, for other people's continuous integration."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikequant.errors import SpecError, unknown
from spikequant.views.tables import Column, Table, shown, text_table
from spikequant.views.verbs import BROKEN, GOOD, Answer, Debug, Json

if TYPE_CHECKING:
    from spikequant.views.record import Record, Variant

BOUNDS = (
    Column("variant", "variant", number=False),
    Column("measure", "measure", number=False),
    Column("value", "value"),
    Column("at_most", "at most"),
    Column("holds", "holds", lambda holds: "yes" if holds else "no", number=False),
)
OPTIONS = {"emd": "--max-emd", "drop": "--max-drop", "bytes": "--max-bytes"}


def check(
    record: Annotated[Path, typer.Argument(help="A folder of demo, compare, explore or run, results/<study>, or a record in one.")],
    max_emd: Annotated[float | None, typer.Option(min=0, max=1, help="Largest EMD from the float network.")] = None,
    max_drop: Annotated[float | None, typer.Option(min=0, max=1, help="Largest loss of accuracy, as a fraction.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Most memory, in bytes.")] = None,
    variant: Annotated[str | None, typer.Option(help="Hold this variant to the bounds; every one if not given.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Hold what was recorded to bounds; exits with 1 if one is broken. For a gate: nothing is computed again."""
    from spikequant.views.record import parse
    from spikequant.views.study import documents

    limits = {"emd": max_emd, "drop": max_drop, "bytes": max_bytes}
    limits = {measure: limit for measure, limit in limits.items() if limit is not None}
    if not limits:
        raise SpecError(f"check needs a bound to hold: give {', '.join(OPTIONS.values())}, one or several")
    records = [parse(document) for document in documents(record)]
    bounds = [bound for each in records for kept in _chosen(each, records, variant) for bound in judged(each, kept, limits)]
    holds = all(bound["holds"] for bound in bounds)
    table = Table(BOUNDS, [[bound[column.key] for column in BOUNDS] for bound in bounds])
    broken = sum(not bound["holds"] for bound in bounds)
    told = f"all {len(bounds)} bounds hold" if holds else f"{broken} of {len(bounds)} bounds are broken"
    document = {"version": 1, "record": str(record), "holds": holds, "bounds": bounds}
    return Answer(document, f"{text_table(table)}\n{told}", GOOD if holds else BROKEN)


def judged(record: "Record", variant: "Variant", limits: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each bound beside the value that it holds; the limit itself is within.

    Raises:
        SpecError: the record does not hold the value.
    """
    for measure, limit in limits.items():
        value = _value(record, variant, measure)
        if value is None:
            missing = {"drop": "accuracy of both networks", "bytes": "memory", "emd": "EMD"}[measure]
            raise SpecError(f"the record holds no {missing} of {shown(variant.name)}, which {OPTIONS[measure]} {limit} is about")
        yield {"variant": variant.name, "measure": measure, "at_most": limit, "value": value, "holds": value <= limit + 1e-12}


def _value(record: "Record", variant: "Variant", measure: str) -> float | int | None:
    if measure == "emd":
        return variant.emd
    if measure == "bytes":
        return None if variant.memory_bits is None else math.ceil(variant.memory_bits / 8)
    if variant.accuracy is None or record.reference.accuracy is None:
        return None
    return round(record.reference.accuracy - variant.accuracy, 12)


def _chosen(record: "Record", records: "list[Record]", name: str | None) -> "tuple[Variant, ...]":
    if not any(each.variants for each in records):
        raise SpecError("the record compares no network with a reference, so there is nothing to hold to a bound")
    names = [variant.name for each in records for variant in each.variants]
    if name is not None and name not in names:
        raise SpecError(unknown("variant", name, names, "--variant"))
    return tuple(variant for variant in record.variants if name in (None, variant.name))
