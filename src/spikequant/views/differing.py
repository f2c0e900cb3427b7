"""The verb that sets two runs side by side: diff."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikequant.views.tables import Column, Table, Value, shown, text_table
from spikequant.views.verbs import Answer, Debug, Json
from spikequant.views.wording import distance, percent, size

if TYPE_CHECKING:
    from spikequant.views.record import Record, Variant

MEASURES = {"accuracy": percent, "emd": distance, "dead": percent, "saturated": percent, "memory_bits": size}
TITLES = {"emd": "EMD", "memory_bits": "memory"}
SIGNIFICANT = 2  # standard errors of a difference of means over seeds


def diff(
    first: Annotated[Path, typer.Argument(help="A folder of demo, compare, explore or run, results/<study>, or a record in one.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Set two runs side by side: what each variant has in both, and how they were set up differently."""
    from spikequant.views.record import parse
    from spikequant.views.study import documents

    sides = [[parse(document) for document in documents(path)] for path in (first, second)]
    pairs, alone = paired(*(_variants(side) for side in sides))
    rows = [row for name, (before, after) in pairs.items() for row in changes(name, before, after)]
    setups = [side[0].setup for side in sides]
    setup = {key: [each.get(key) for each in setups] for key in dict.fromkeys([*setups[0], *setups[1]])}
    setup = {key: values for key, values in setup.items() if values[0] != values[1]}
    document = {"version": 1, "first": str(first), "second": str(second), "changes": rows}
    document |= {"only_first": alone[0], "only_second": alone[1], "setup": setup}
    lines = [text_table(table(rows)) if rows else "no variant is in both, or nothing of them changed"]
    lines += [f"only in {path}: {', '.join(map(shown, names))}" for path, names in zip((first, second), alone, strict=True) if names]
    lines += [f"setup {shown(key)}: {shown(str(a))} | {shown(str(b))}" for key, (a, b) in setup.items()]
    return Answer(document, "\n".join(lines))


def paired(first: "dict[str, Variant]", second: "dict[str, Variant]") -> "tuple[dict[str, tuple[Variant, Variant]], list[list[str]]]":
    """Variants of one name, and the names that only one side has; where each side has one variant, these are a pair."""
    if len(first) == len(second) == 1:
        ((before, one),), ((after, other),) = first.items(), second.items()
        return {before if before == after else f"{before} | {after}": (one, other)}, [[], []]
    both = {name: (first[name], second[name]) for name in first if name in second}
    return both, [[name for name in first if name not in second], [name for name in second if name not in first]]


def changes(name: str, before: "Variant", after: "Variant") -> list[dict[str, Any]]:
    """The measures that differ; ``beyond_noise`` is None where there are not several seeds on both sides to judge by."""
    found = []
    for measure in MEASURES:
        old, new = getattr(before, measure), getattr(after, measure)
        if old is not None and new is not None and old != new:
            row = {"variant": name, "measure": measure, "first": old, "second": new, "difference": new - old}
            found.append(row | {"beyond_noise": _beyond(before, after, measure, new - old)})
    return found


def _beyond(before: "Variant", after: "Variant", measure: str, difference: float) -> bool | None:
    parts = [(side.deviation.get(measure), side.seeds) for side in (before, after)]
    errors = [deviation**2 / seeds for deviation, seeds in parts if deviation is not None and seeds]
    return abs(difference) > SIGNIFICANT * math.sqrt(sum(errors)) if len(errors) == len(parts) else None


def table(rows: list[dict[str, Any]]) -> Table:
    """The changes, values as people read them."""
    columns = [Column("variant", "variant", number=False), Column("measure", "measure", number=False)]
    columns += [Column("first", "first"), Column("second", "second"), Column("difference", "change")]
    columns.append(Column("beyond_noise", "beyond noise", number=False))
    cells: list[list[Value]] = []
    for row in rows:
        show = MEASURES[row["measure"]]
        sign = "+" if row["difference"] > 0 else "−"
        judged = {None: None, True: "yes", False: "no"}[row["beyond_noise"]]
        values = [show(row["first"]), show(row["second"]), sign + show(abs(row["difference"]))]
        cells.append([row["variant"], TITLES.get(row["measure"], row["measure"]), *values, judged])
    return Table(columns, cells)


def _variants(records: "list[Record]") -> "dict[str, Variant]":
    return {variant.name: variant for record in records for variant in record.variants}
