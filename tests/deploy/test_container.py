import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from spikequant.deploy import Program
from spikequant.deploy.container import from_bytes, to_bytes
from spikequant.errors import FormatError


def test_every_damaged_byte_is_refused(residual: Program) -> None:
    content = to_bytes(residual)
    for at in range(len(content)):
        for flip in (1, 0x20, 0x80):
            damaged = bytearray(content)
            damaged[at] ^= flip
            with pytest.raises(FormatError):
                from_bytes(bytes(damaged))


def test_every_cut_is_refused(residual: Program) -> None:
    content = to_bytes(residual)
    for size in [*range(64), *range(64, len(content), 97)]:
        with pytest.raises(FormatError):
            from_bytes(content[:size])
    with pytest.raises(FormatError):
        from_bytes(content + b"\0")


def test_weights_are_packed(residual: Program) -> None:
    arrays = load(to_bytes(residual))
    assert arrays["conv1.weight"].shape == (9,)  # 18 weights of 4 bits
    assert arrays["dense.weight"].shape == (15,)  # 40 of 3 bits
    assert arrays["lif1.threshold"].dtype == np.int8


def document(program: Program) -> dict:
    content = to_bytes(program)
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["program"])


def rewritten(program: Program, change) -> bytes:
    changed = document(program)
    change(changed)
    return save(load(to_bytes(program)), metadata={"program": json.dumps(changed, sort_keys=True, separators=(",", ":"))})


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=2),
        lambda d: d.update(format="other"),
        lambda d: d.update(header=[]),
        lambda d: d.update(header={}),
        lambda d: d.update(hash=None),
        lambda d: d["header"].update(time=10**9),
        lambda d: d["header"].update(time=True),
        lambda d: d["header"]["source"].update(shape=[10**6, 10**6, 10**6]),
        lambda d: d["header"]["operations"][0].update(padding=[1 << 40, 1]),
        lambda d: d["header"]["operations"][0].update(channels=65536),
        lambda d: d["header"]["operations"][0].update(kind="exec"),
        lambda d: d["header"]["operations"][0].update(name="../../etc"),
        lambda d: d["header"]["operations"][0].update(more=1),
        lambda d: d["header"]["operations"].clear(),
        lambda d: d["header"]["operations"].reverse(),
        lambda d: d["header"].update(info={"a": float("nan")}),
        lambda d: d["header"].update(info={"a": 1.5}),
    ],
)
def test_hostile_headers_are_refused(residual: Program, change) -> None:
    with pytest.raises(FormatError):
        from_bytes(rewritten(residual, change))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        from_bytes(content)


def test_deep_json_in_the_metadata_is_refused() -> None:
    with pytest.raises(FormatError):
        from_bytes(save({"a": np.zeros(1)}, metadata={"program": "[" * 100_000}))


def test_tensors_of_floats_are_refused(residual: Program) -> None:
    arrays = load(to_bytes(residual)) | {"lif1.threshold": np.array([60.0, 90.0])}
    with pytest.raises(FormatError, match="whole numbers"):
        from_bytes(save(arrays, metadata={"program": json.dumps(document(residual), sort_keys=True, separators=(",", ":"))}))


def test_the_change_that_the_hash_alone_sees(residual: Program) -> None:
    """A sound file of another program under the old hash."""
    with pytest.raises(FormatError, match="hash"):
        from_bytes(rewritten(residual, lambda d: d["header"].update(time=3)))
