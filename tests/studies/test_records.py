import json
from pathlib import Path
from typing import Any

import pytest

from spikequant.errors import FormatError
from spikequant.studies.keys import RESULTS_VERSION, key_of
from spikequant.studies.records import Record, parse, read_all, write


def record(**changed: Any) -> Record:
    configuration = {"seed": 0}
    fields = {"results_version": RESULTS_VERSION, "study": "s", "name": "a", "tags": ("t",), "configuration": configuration}
    fields |= {"data_sha256": {"f": "0"}, "measures": {"accuracy": 0.1 + 0.2, "bits": 3, "none": None}, "hashes": {"m": "a" * 64}}
    fields |= changed
    return Record(key=key_of(fields["configuration"], fields["data_sha256"], fields["results_version"]), **fields)


def test_what_is_written_is_read_bit_for_bit_and_not_written_again_elsewhere_or_later(tmp_path: Path) -> None:
    write(tmp_path / "s", record(provenance={"host": "here"}))
    write(tmp_path / "s", record(provenance={"host": "there"}))
    found = read_all([tmp_path / "s", tmp_path / "absent"])
    assert found[record().key].measures == {"accuracy": 0.1 + 0.2, "bits": 3, "none": None}
    assert found[record().key].provenance == {"host": "here"}
    assert [path.name for path in (tmp_path / "s").iterdir()] == [f"{record().key[:16]}.json"]


@pytest.mark.parametrize("before", [None, "", "{}", "[" * 100_000])
def test_other_results_and_damage_are_replaced(tmp_path: Path, before: str | None) -> None:
    write(tmp_path, record())
    if before is not None:
        next(tmp_path.iterdir()).write_text(before)
    write(tmp_path, record(measures={"accuracy": 0.5}))
    assert read_all([tmp_path])[record().key].measures == {"accuracy": 0.5}


def test_records_of_another_results_version_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, record(results_version=RESULTS_VERSION + 1))
    assert read_all([tmp_path]) == {}


def test_a_record_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    document = record().fields()
    document["configuration"]["seed"] = 1
    with pytest.raises(FormatError, match="changed by hand"):
        parse(document, "x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', "[" * 100_000, "\udc00", '{"version": 1, "measures": {"a": NaN}}'])
def test_damage_is_refused_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FormatError, match=r"x\.json"):
        read_all([tmp_path])


def test_of_a_file_that_never_was_a_record_nobody_is_told_to_remove_it(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"version": 1, "model": "digits", "parameters": {}}')
    with pytest.raises(FormatError) as told:
        read_all([tmp_path])
    assert str(told.value) == f"{tmp_path / 'network.json'} is no record of a trial; give a run folder, or results/<study>"


def test_a_record_is_small(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"a": "b" * 2**20}))
    with pytest.raises(FormatError, match="at most"):
        read_all([tmp_path])
