"""Finished runs as rows: the tags that say what was run, and what was measured; the papers' own rows among them."""

import csv
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from spikequant.errors import FormatError, SpecError, unknown

Tags = frozenset[str]
FRACTIONS = frozenset({"accuracy", "dead", "silent", "saturated", "mean_rate"})


class Row(NamedTuple):
    """One finished run. ``seed`` is None where a paper gives none. Rates, shares and accuracies are fractions."""

    tags: Tags
    measures: Mapping[str, float]
    seed: int | None = None


def words(text: str) -> Tags:
    """The tags of a text.

    >>> sorted(words("table1 cifar10"))
    ['cifar10', 'table1']
    """
    return frozenset(text.split())


def bearing(rows: Iterable[Row], text: str) -> list[Row]:
    """The rows that bear all tags of a text.

    >>> len(bearing(paper_rows("beyond-accuracy"), "table1 cifar10 resnet8"))
    16
    """
    wanted = words(text)
    return [row for row in rows if wanted <= row.tags]


def without(rows: Iterable[Row], text: str) -> list[Row]:
    """The same rows, the tags of a text laid aside: those that only say how a row was run, as ``short``.

    Raises:
        SpecError: two rows are then of one run.

    >>> sorted(without([Row(words("fmnist 2bits short"), {})], "short")[0].tags)
    ['2bits', 'fmnist']
    """
    aside = words(text)
    left = [row._replace(tags=row.tags - aside) for row in rows]
    if twice := _twice(left):
        raise SpecError(f"without {text!r} two rows are of {twice}; a run has one row: narrow the rows first, or lay fewer tags aside")
    return left


def papers() -> list[str]:
    """The papers whose rows and claims are in the package."""
    return sorted(folder.name for folder in files("spikequant.search").joinpath("papers").iterdir() if folder.is_dir())


def paper_file(paper: str, name: str) -> str:
    """The text of a paper's file.

    Raises:
        SpecError: an unknown paper.
    """
    if paper not in papers():
        raise SpecError(unknown("paper", paper, papers()))
    return files("spikequant.search").joinpath("papers", paper, name).read_text(encoding="utf-8")


def paper_rows(paper: str) -> tuple[Row, ...]:
    """What a paper prints in its tables, one row for each configuration.

    Raises:
        SpecError: an unknown paper.

    >>> rows = paper_rows("beyond-accuracy")
    >>> bearing(rows, "table1 cifar100 resnet18 uniform wide 2bits")[0].measures["accuracy"]
    0.516
    """
    return read_rows(paper_file(paper, "rows.csv"), f"rows.csv of {paper}")


def read_rows(text: str, place: str = "the table") -> tuple[Row, ...]:
    """Rows of a CSV: a column ``tags``, words apart by spaces; perhaps a column ``seed``; all others are measures, empty where absent.

    Raises:
        FormatError: a column is absent or there twice, a line has another length, a value is no finite number, a fraction lies outside
            [0, 1], a seed is not whole, or two rows are of one run.

    >>> read_rows("tags,seed,emd\\nlqnet 2bits,3,0.5\\n")[0].seed
    3
    """
    table = csv.DictReader(text.splitlines())
    names = table.fieldnames or ()
    if "tags" not in names or len(set(names)) < len(names):
        raise FormatError(f"{place} has the columns {table.fieldnames}; it needs one named 'tags', and no name twice")
    rows = tuple(_row(record, f"{place}, line {table.line_num}") for record in table)
    if twice := _twice(rows):
        raise FormatError(f"{place}: two rows are of {twice}; a run has one row")
    return rows


def _twice(rows: Iterable[Row]) -> str | None:
    """The first run that has two rows, in words."""
    seen = set[tuple[Tags, int | None]]()
    for row in rows:
        if (row.tags, row.seed) in seen:
            return f"{' '.join(sorted(row.tags))!r} with seed {row.seed}"
        seen.add((row.tags, row.seed))
    return None


def _row(record: dict[str, str], place: str) -> Row:
    if None in record or None in record.values():
        raise FormatError(f"{place}: the line has not as many values as the header has names")
    values = {name: _number(text, name, place) for name, text in record.items() if name != "tags" and text != ""}
    seed = values.pop("seed", None)
    return Row(words(record["tags"]), MappingProxyType(values), None if seed is None else int(seed))


def _number(text: str, name: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{place}: {name} is {text!r}; it must be a finite number, or empty where nothing was measured")
    if name in FRACTIONS and not 0 <= value <= 1:
        raise FormatError(f"{place}: {name} {text} must be a fraction in [0, 1]; divide a percentage by 100")
    if name == "seed" and not value.is_integer():
        raise FormatError(f"{place}: seed {text} must be a whole number")
    return value
