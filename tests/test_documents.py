import pytest

from spikequant.documents import parse_json


def test_reads_json_from_text_and_bytes() -> None:
    assert parse_json('{"a": [1, {"b": null}]}') == parse_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]'])
def test_a_name_that_is_there_twice_is_refused_at_every_depth(text: str) -> None:
    with pytest.raises(ValueError, match="the name 'a' is there twice"):
        parse_json(text)


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe\x00", "[" * 100_000, "1" * 5000])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|utf|codec|nests too deeply|limit"):
        parse_json(text)
