import json
from pathlib import Path

import pytest

from spikequant.errors import FormatError, SpecError
from spikequant.search import Row
from spikequant.studies.keys import RESULTS_VERSION, key_of
from spikequant.studies.records import Record, write
from spikequant.studies.rows import rows_of, study_rows


def record(seed: int, **measures: float | None) -> Record:
    configuration = {"procedure": "supervised", "setup": {"data": "digits", "seed": seed}}
    key = key_of(configuration, {})
    names = {"results_version": RESULTS_VERSION, "study": "x", "key": key, "name": f"uniform/2bits/s{seed}"}
    tags = ("uniform", "table1", "2bits", f"s{seed}")
    return Record(**names, tags=tags, configuration=configuration, data_sha256={}, measures=measures, hashes={})


def test_a_row_has_the_tags_without_the_seed() -> None:
    assert rows_of([record(3, emd=0.5, accuracy=1)]) == (Row(frozenset({"uniform", "table1", "2bits"}), {"emd": 0.5, "accuracy": 1.0}, 3),)


def test_what_was_not_measured_is_left_out() -> None:
    assert rows_of([record(0, emd=None, accuracy=0.5)])[0].measures == {"accuracy": 0.5}


def test_a_reading_of_a_paper_bears_a_tag_of_its_own() -> None:
    certain = record(0, emd=0.5)
    setup = {"seed": 0, "recipe": {"weights": {"kind": "spikefit", "bits": 2}}}
    doubted = certain.model_copy(update={"configuration": {"setup": setup}})
    assert [row.tags - {"uniform", "table1", "2bits"} for row in rows_of([doubted, certain])] == [{"?"}, set()]


def test_reads_a_folder_in_the_order_of_seeds(tmp_path: Path) -> None:
    for seed in (10, 2):
        write(tmp_path, record(seed, emd=0.5))
    assert [row.seed for row in study_rows(tmp_path)] == [2, 10]


def test_refuses_a_folder_without_records_or_with_damaged_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no record of a finished trial"):
        study_rows(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(FormatError, match="no record of a trial"):
        study_rows(tmp_path)
