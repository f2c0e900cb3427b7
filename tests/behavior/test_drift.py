import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from spikequant.behavior.compare import compare
from spikequant.behavior.drift import Drift
from spikequant.errors import FormatError

RECORD = {"emd", "emd_floor", "mean_rate", "reference_mean_rate", "dead", "silent", "saturated", "matched_shift", "agreement", "layers"}
LAYER = {"name", "channels", "emd", "emd_mean_shift", "emd_shape", "emd_floor", "mean_rate", "dead", "silent", "saturated"}
LAYER |= {"died", "revived", "matched_shift", "agreement", "first_difference", "disagreement", "rates", "reference"}


@pytest.fixture
def drift(dense, batches) -> Drift:
    return compare(dense(0), dense(1), batches(), twins=[dense(2)], resamples=20)


def test_record_holds_what_the_report_reads(drift: Drift) -> None:
    record = drift.to_dict()
    assert record.keys() >= RECORD
    assert record["layers"][0].keys() >= LAYER
    assert record["layers"][0]["reference"].keys() == {"mean_rate", "dead", "silent", "saturated", "rates"}
    assert isinstance(record["layers"][0]["rates"], list)
    assert len(record["layers"][0]["rates"]) == record["layers"][0]["channels"] == 24


def test_record_survives_text(drift: Drift) -> None:
    assert Drift.from_dict(json.loads(json.dumps(drift.to_dict()))) == drift


def without(key: str) -> Any:
    return lambda record: record.pop(key)


def with_value(key: str, value: Any) -> Any:
    return lambda record: record.update({key: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("emd"), "at 'emd'"),
        (lambda record: record["layers"][1].pop("rates"), r"at 'layers\.1\.rates'"),
        (with_value("emd", "0.1"), "at 'emd'"),
        (with_value("emd", float("nan")), "damaged"),
        (with_value("emd", torch.zeros(1)), "not JSON serializable"),
        (with_value("version", 2), "at 'version'"),
        (with_value("extra", 1), "at 'extra'"),
    ],
)
def test_refuses_a_damaged_record(drift: Drift, damage: Any, message: str) -> None:
    record = drift.to_dict()
    damage(record)
    with pytest.raises(FormatError, match=message):
        Drift.from_dict(record)


def test_is_frozen(drift: Drift) -> None:
    with pytest.raises(ValidationError):
        drift.emd = 0.0  # type: ignore[misc]


def test_table_has_a_row_per_layer_and_one_for_the_network(drift: Drift) -> None:
    header, first, second, network, training = str(drift).splitlines()
    assert header.split()[:4] == ["layer", "channels", "emd", "floor"]
    assert first.split()[:3] == ["1", "24", f"{drift.layers[0].emd:.4f}"]
    assert second.split()[0] == "3"
    assert network.split()[:3] == ["network", "30", f"{drift.emd:.4f}"]
    assert training.startswith(f"training floor {drift.training_floor and drift.training_floor.emd:.4f} over 1 pairs; excess")
    assert len({len(line) for line in (header, first, second, network)}) == 1
    assert "%" not in str(drift)


def test_a_dash_stands_where_there_is_no_number(dense, batches) -> None:
    table = str(compare(dense(0), dense(0, outputs=7), batches(), resamples=20)).splitlines()
    assert table[2].split()[-3:] == ["-", "-", "-"]
    assert len(table) == 4
