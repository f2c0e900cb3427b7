import json
from pathlib import Path
from typing import Any

import pytest

from spikequant.errors import FormatError
from spikequant.views.record import parse, read


def test_a_demo_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    record = parse(document)
    assert record.reference.accuracy == document["float"]["accuracy"]
    assert [variant.emd for variant in record.variants] == [variant["emd"] for variant in document["variants"]]
    assert record.variants[0].drift.to_dict() == document["variants"][0]["drift"]


def test_a_comparison_becomes_a_record_of_one_variant(comparison: dict[str, Any]) -> None:
    record = parse(comparison)
    assert (record.reference.name, record.reference.accuracy, record.reference.dead) == ("float", 0.975, comparison["reference_dead"])
    (only,) = record.variants
    assert (only.name, only.weights, only.emd) == ("small", "uniform / float", comparison["emd"])
    assert record.setup == comparison["setup"]


def test_a_comparison_says_where_its_network_began(comparison: dict[str, Any]) -> None:
    origins = [(None, None, ""), ("float", None, "qat"), ("scratch", "independent", "scratch")]
    for start, pairing, scheme in origins:
        comparison["network"] |= {"start": start, "pairing": pairing}
        (only,) = parse(comparison).variants
        assert (only.scheme, only.pairing) == (scheme, pairing)


def test_a_drift_alone_is_enough(document: dict[str, Any]) -> None:
    record = parse(document["variants"][0]["drift"])
    assert (record.reference.name, record.variants[0].name, record.variants[0].accuracy) == ("reference", "network", None)


NESTED: dict[str, Any] = {}
for _ in range(5000):
    NESTED = {"setup": NESTED}


def broken(document: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "version 2, this spikequant reads 1"),
        (("variants",), [], "at least one variant or trial"),
        (("variants", 0, "accuracy"), 97.1, r"variants.0.accuracy: .*less than or equal to 1"),
        (("variants", 0, "emd"), float("nan"), r"variants.0.emd: .*finite"),
        (("variants", 0, "name"), None, r"variants.0.name: .*string"),
        (("variants", 3, "drift", "layers"), [], "variants: .*same layers as the first"),
        (("variants", 1, "drift", "layers", 0, "name"), "other", "variants: .*same layers as the first"),
        (("variants", 1, "drift", "layers", 0, "rates"), [], r"rates and shares must be in \[0, 1\]"),
        (("variants", 1, "drift", "layers", 0, "reference", "rates"), [0.5, 1.5], r"rates and shares must be in \[0, 1\]"),
        (("float",), "float", "float: "),
        (("trials",), [{}], r"damaged at trials\.0\.name: Field required"),
        (("trials",), [{"name": "a", "state": "done", "measures": {"accuracy": "much"}}], r"damaged at trials\.0\.measures\.accuracy"),
        (("setup",), NESTED, "nested too deep"),
    ],
)
def test_a_damaged_record_names_place_and_rule(document: dict[str, Any], path: tuple[str | int, ...], value: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(broken(document, *path, value=value))


def test_of_the_file_of_a_search_it_is_said_what_is_wanted_instead() -> None:
    with pytest.raises(FormatError, match=r"neither variants nor layers; give a folder of .*front\.json"):
        parse({"version": 1, "space": {}, "evaluated": []})


def test_fields_of_later_versions_are_let_through(document: dict[str, Any]) -> None:
    document["variants"][0]["energy_pj"] = 3.0
    assert parse(document).variants[0].name == document["variants"][0]["name"]


def test_a_folder_stands_for_the_record_in_it(tmp_path: Path, comparison: dict[str, Any]) -> None:
    (tmp_path / "drift.json").write_text(json.dumps(comparison))
    assert read(tmp_path) == read(tmp_path / "drift.json") == comparison


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "must hold a JSON object, not a list"),
    ],
)
def test_what_is_no_record_is_refused_with_its_path(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "demo.json").write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path / "demo.json")
    assert str(tmp_path / "demo.json") in str(caught.value)


def test_an_absent_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot read .*none.json: No such file"):
        read(tmp_path / "none.json")
