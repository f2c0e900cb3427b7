"""The finished trials of a study as rows, which claims and tables compare."""

from collections.abc import Iterable
from pathlib import Path

from spikequant.errors import SpecError
from spikequant.search import Row
from spikequant.studies.doubt import DOUBT, is_reading
from spikequant.studies.records import Record, read_all


def study_rows(folder: Path) -> tuple[Row, ...]:
    """The rows of a folder of text records, as ``results/<study>``; tags without the one of the seed.

    Raises:
        SpecError: there is no record.
        FormatError: a file there is no record.
    """
    rows = rows_of(read_all([folder]).values())
    if not rows:
        raise SpecError(f"{folder} holds no record of a finished trial; give a folder such as results/<study>")
    return rows


def rows_of(records: Iterable[Record]) -> tuple[Row, ...]:
    """One row for each record, sorted by tags and seed; measures that a trial could not give are left out.

    What is our reading of a paper bears the tag ``?``.
    """
    rows = [_row(record) for record in records]
    return tuple(sorted(rows, key=lambda row: (sorted(row.tags), row.seed or 0)))


def _row(record: Record) -> Row:
    setup = record.configuration["setup"]
    assert isinstance(setup, dict), "the configuration of a trial holds its setup"
    seed = setup["seed"]
    assert isinstance(seed, int), "every setup has a seed"
    measures = {name: float(value) for name, value in record.measures.items() if value is not None}
    doubt = {DOUBT} if is_reading(record.configuration) else set()
    return Row(frozenset(record.tags) - {f"s{seed}"} | doubt, measures, seed)
