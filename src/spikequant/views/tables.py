"""Tables from records, as CSV, Markdown and plain text. Names in them are untrusted text and stay inert."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from spikequant.views.wording import ABSENT, plain

Value = str | int | float | None

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def shown(value: Value) -> str:
    """A value as it is, control characters left out.

    >>> shown(None), shown(4), shown("conv1")
    ('–', '4', 'conv1')
    """
    return ABSENT if value is None else plain(str(value))


@dataclass(frozen=True)
class Column:
    """A column: its key in CSV, its title for people, how its values are shown, and what it means.

    ``spread``: the key of the column that holds its standard deviations over seeds. ``best``: which end of it is the good one.
    """

    key: str
    title: str
    show: Callable[..., str] = shown
    number: bool = True
    meaning: str = ""
    spread: str = ""
    best: Literal["", "high", "low"] = ""


@dataclass(frozen=True)
class Table:
    """Rows of raw values (fractions, bits) under columns that know how to show them."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]

    def cells(self) -> list[list[str]]:
        """The rows as a person reads them."""
        return [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]


def inert(value: Value) -> Value:
    """A value for CSV: text that a spreadsheet would take for a formula begins with an apostrophe.

    >>> inert("=1+1"), inert(-0.5), inert(None)
    ("'=1+1", -0.5, '')
    """
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value


def csv_text(table: Table) -> str:
    """The table as CSV: raw values under their keys.

    >>> csv_text(Table([Column("name", "name"), Column("emd", "EMD")], [["=x", 0.25]]))
    "name,emd\\r\\n'=x,0.25\\r\\n"
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.key for column in table.columns])
    writer.writerows([inert(value) for value in row] for row in table.rows)
    return text.getvalue()


def markdown(table: Table) -> str:
    """The table as Markdown, numbers to the right.

    >>> print(markdown(Table([Column("name", "name", number=False), Column("emd", "EMD")], [["a|b", 0.25]])))
    | name | EMD |
    | :--- | ---: |
    | a\\|b | 0.25 |
    """
    rule = ["---:" if column.number else ":---" for column in table.columns]
    rows = [[_escaped(cell) for cell in row] for row in [[column.title for column in table.columns], *table.cells()]]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def text_table(table: Table) -> str:
    """The table for a terminal.

    >>> print(text_table(Table([Column("name", "name", number=False), Column("emd", "EMD")], [["conv1", 0.25]])))
    name    EMD
    conv1  0.25
    """
    rows = [[column.title for column in table.columns], *table.cells()]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(_line(table.columns, widths, row) for row in rows)


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str]) -> str:
    pairs = zip(columns, widths, cells, strict=True)
    return "  ".join(cell.rjust(width) if column.number else cell.ljust(width) for column, width, cell in pairs).rstrip()


def _escaped(cell: str) -> str:
    for mark in ("\\", "|", "`", "*", "_", "[", "]"):
        cell = cell.replace(mark, f"\\{mark}")
    return cell.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
