import json
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from spikequant.errors import FormatError
from spikequant.tensorfile import content_of, header, read


def content(document: Any, data: bytes = b"", size: int | None = None) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def entry(dtype: Any = "U8", shape: Any = (2,), begin: Any = 0, end: Any = 2) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refusal(made: bytes) -> str:
    with pytest.raises(FormatError, match=r"net: |net is damaged") as caught:
        header(made, "net")
    return str(caught.value)


def test_what_is_written_is_read_back() -> None:
    tensors = {
        "a.b": torch.arange(6, dtype=torch.int16).reshape(2, 3),
        "c": torch.tensor(0.5, dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
    }
    found, metadata = read(content_of(tensors, {"document": "{}"}), "net")
    assert metadata == {"document": "{}"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert header(content_of(tensors), "net").tensors["a.b"].shape == (2, 3)


@pytest.mark.parametrize("name", ["../../etc/x", "/etc/x", "a\\b", "a..b", "", "a\nb", "a\0", "x" * 256])
def test_names_that_could_lead_elsewhere_are_refused_on_both_ways(name: str) -> None:
    made = save({name: torch.zeros(2)})
    assert name in load(made)  # the library itself accepts them
    assert "must have 1 to 255 letters" in refusal(made)
    with pytest.raises(FormatError, match="must have 1 to 255 letters"):
        content_of({name: torch.zeros(2)})


def test_names_that_are_there_twice_are_refused() -> None:
    twice = b'{"a": ' + json.dumps(entry()).encode() + b', "a": ' + json.dumps(entry()).encode() + b"}"
    assert "the name 'a' is there twice" in refusal(content(twice, b"ab"))


@pytest.mark.parametrize(
    "said",
    [
        entry(dtype="PICKLE"),
        entry(dtype=["U8"]),
        entry(shape=[-2]),
        entry(shape=[2.0]),
        entry(shape=[True, 2]),
        entry(shape="ab"),
        entry(shape=None),
        entry(begin=-1),
        entry(end="2"),
        entry() | {"more": 1},
        {"dtype": "U8", "shape": [2]},
        [],
        None,
        "tensor",
    ],
)
def test_descriptions_that_are_none_are_refused(said: Any) -> None:
    assert "tensor 'a' must have a dtype" in refusal(content({"a": said}, b"ab"))


def test_shapes_must_be_the_bytes_that_they_claim() -> None:
    assert "must have 1152921504606846976 bytes, has 2" in refusal(content({"a": entry(shape=[2**30, 2**30])}, b"ab"))
    assert "must have 4 bytes, has 2" in refusal(content({"a": entry(dtype="F16")}, b"ab"))


@pytest.mark.parametrize(
    "entries",
    [
        {"a": entry(), "b": entry()},
        {"a": entry(), "b": entry(begin=3, end=5)},
        {"a": entry(), "b": entry(begin=1, end=3)},
        {"a": entry(begin=2, end=4)},
        {"a": entry()},
        {},
    ],
)
def test_tensors_must_follow_each_other_and_fill_the_file(entries: dict[str, Any]) -> None:
    assert "must follow each other and fill the 4 bytes" in refusal(content(entries, b"abcd"))


def test_headers_that_lie_about_themselves_are_refused() -> None:
    for made in (b"", b"1234567", content({}, size=10**12), content({}, size=3), content(b"[]"), content(b"\xff"), content(b"[" * 10**5)):
        assert "is damaged" in refusal(made)
    assert "must be texts by name" in refusal(content({"__metadata__": {"a": 1}}))


def test_what_the_parser_still_refuses_is_of_our_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(made: bytes) -> None:
        raise SafetensorError("no")

    monkeypatch.setattr("safetensors.torch.load", refuse)
    with pytest.raises(FormatError, match="net is damaged: no"):
        read(content({}), "net")
