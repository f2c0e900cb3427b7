"""The verb that holds a paper's claims against its own table, and against ours."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikequant.errors import SpecError, unknown
from spikequant.views.tables import Column, Table, Value, text_table
from spikequant.views.verbs import Answer, Debug, Json
from spikequant.views.wording import distance, percent

if TYPE_CHECKING:
    from spikequant.search import Cell, Finding, Row

SHOWN = {"accuracy": percent, "gain": percent, "dead": percent, "silent": percent}


def claims(
    paper: Annotated[str, typer.Argument(help="A paper whose rows and claims are in the package, as beyond-accuracy.")],
    rows: Annotated[
        Path | None, typer.Option(help="Ours: a folder of records, as results/<study>, or a CSV of tags, seed, measures.")
    ] = None,
    only: Annotated[str, typer.Option(help="Of these rows, those that bear all these tags.")] = "",
    aside: Annotated[
        str, typer.Option(help="Tags of these rows to lay aside, such as short: else they stand beside no cell of the paper's.")
    ] = "",
    unfilled: Annotated[bool, typer.Option("--unfilled", help="Print the paper's rows that none of ours fills, too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Judge every claim of a paper by its own table, and by rows of ours."""
    from spikequant.search import cells, judge, paper_claims, paper_noise, paper_rows, with_gains

    if rows is None and (only or aside):
        raise SpecError(f"{'--only' if only else '--aside'} chooses among rows of ours: give them with --rows too, or leave it out")
    printed, asked = paper_rows(paper), paper_claims(paper)
    ours = None if rows is None else with_gains(paper, _chosen(rows, only, aside))
    own = [judge(claim, printed, lambda measure, scale: paper_noise(paper, measure, scale)) for claim in asked]
    findings = {"paper": own} if ours is None else {"paper": own, "ours": [judge(claim, ours) for claim in asked]}
    measures = sorted({claim.measure for claim in asked})
    found = cells(ours or (), measures, printed)
    document = {
        "paper": paper,
        "claims": [_told(each) for each in zip(*findings.values(), strict=True)],
        "cells": [_cell(c) for c in found],
    }
    text = text_table(verdicts(findings))
    if shown := [cell for cell in found if cell.mean is not None or (unfilled and cell.paper is not None)]:
        text += "\n\n" + text_table(configurations(shown, measures))
    return Answer(document, text)


def verdicts(findings: dict[str, list["Finding"]]) -> Table:
    """One line for each claim: what each table says to it, and what decided the last one."""
    columns = [Column("claim", "claim", number=False), *(Column(side, side, number=False) for side in findings), _column("cases")]
    columns += [_column("outside"), Column("reason", "reason", number=False)]
    rows = []
    for each in zip(*findings.values(), strict=True):
        last = each[-1]
        rows.append([last.claim.name, *(finding.verdict for finding in each), len(last.cases), last.outside, last.reason])
    return Table(columns, rows)


def configurations(cells: Iterable["Cell"], measures: Sequence[str]) -> Table:
    """One line for each configuration: of every measure its mean, its deviation over seeds, and the paper's where it prints one."""
    lines: dict[str, list[Cell]] = {}
    for cell in cells:
        lines.setdefault(" ".join(sorted(cell.tags)), []).append(cell)
    present = [measure for measure in measures if any(cell.measure == measure for line in lines.values() for cell in line)]
    paired = {cell.measure for line in lines.values() for cell in line if cell.paper is not None}
    columns = [Column("configuration", "configuration", number=False), _column("seeds")]
    for measure in present:
        show = SHOWN.get(measure, distance)
        columns += [Column(measure, measure, show), Column(f"{measure}_deviation", "±", show)]
        columns += (
            [Column(f"{measure}_paper", "paper", show), Column(f"{measure}_difference", "differs", show)] if measure in paired else []
        )
    rows = [[name, max(cell.seeds for cell in line), *_values(line, present, paired)] for name, line in lines.items()]
    return Table(columns, rows)


def _values(line: "list[Cell]", measures: Sequence[str], paired: set[str]) -> list[Value]:
    known = {cell.measure: cell for cell in line}
    values: list[Value] = []
    for measure in measures:
        cell = known.get(measure)
        values += [None, None] if cell is None else [cell.mean, cell.deviation]
        if measure in paired:
            values += [None, None] if cell is None else [cell.paper, cell.difference]
    return values


def _chosen(path: Path, only: str, aside: str) -> "list[Row]":
    from spikequant.search import bearing, without

    rows = _read(path)
    known = {tag for row in rows for tag in row.tags}
    for tag in (*only.split(), *aside.split()):
        if tag not in known:
            raise SpecError(unknown("tag", tag, known, str(path)))
    return without(bearing(rows, only), aside)


def _read(path: Path) -> "tuple[Row, ...]":
    from spikequant.search import read_rows

    if path.is_dir():
        from spikequant.studies import study_rows

        return study_rows(path)
    try:
        return read_rows(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"rows {path} cannot be read: {error}; give a folder of records, or a CSV with a column 'tags'") from None


def _column(key: str) -> Column:
    return Column(key, key)


def _told(sides: "tuple[Finding, ...]") -> dict[str, Any]:
    claim = sides[0].claim.model_dump(mode="json")
    return {**claim, "findings": [_finding(finding) for finding in sides]}


def _finding(finding: "Finding") -> dict[str, Any]:
    cases = [{**case._asdict(), "low": _finite(case.low), "high": _finite(case.high)} for case in finding.cases]
    return {"verdict": finding.verdict, "reason": finding.reason, "outside": finding.outside, "cases": cases}


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _cell(cell: "Cell") -> dict[str, Any]:
    return {**cell._asdict(), "tags": sorted(cell.tags), "difference": cell.difference}
