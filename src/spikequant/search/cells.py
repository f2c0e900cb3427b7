"""A table's cells: what was measured of each configuration over its seeds, beside what a paper prints of the same one."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spikequant.search.rows import Row, Tags


class Cell(NamedTuple):
    """One measure of one configuration. ``mean`` is None where nothing was measured, ``deviation`` where fewer than two seeds were;
    ``paper`` is None where the paper prints no such configuration."""

    tags: Tags
    measure: str
    mean: float | None
    deviation: float | None
    seeds: int
    paper: float | None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.mean is None or self.paper is None else self.mean - self.paper


def cells(rows: Iterable[Row], measures: Sequence[str], paper: Iterable[Row] = ()) -> list[Cell]:
    """The cells of all configurations in rows or paper, the paper's first and in its order.

    A row stands beside a paper's only where all tags are the same: one of a narrower network or a shorter training bears a tag
    that says so, and fills no cell of the paper's.

    >>> from spikequant.search.rows import words
    >>> ours = [Row(words("x 2bits"), {"emd": value}, seed) for seed, value in enumerate((0.25, 0.75))]
    >>> [(cell.mean, cell.paper, cell.difference) for cell in cells(ours, ["emd"], [Row(words("2bits x"), {"emd": 0.25})])]
    [(0.5, 0.25, 0.25)]
    """
    printed = {row.tags: row for row in paper}
    runs: dict[Tags, list[Row]] = {tags: [] for tags in printed}
    for row in rows:
        runs.setdefault(row.tags, []).append(row)
    return [_cell(tags, measure, found, printed.get(tags)) for tags, found in runs.items() for measure in measures]


def _cell(tags: Tags, measure: str, found: list[Row], printed: Row | None) -> Cell:
    values = [row.measures[measure] for row in found if measure in row.measures]
    return Cell(
        tags,
        measure,
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
        len(values),
        None if printed is None else printed.measures.get(measure),
    )
