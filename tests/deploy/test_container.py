import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from spikequant.deploy import Program
from spikequant.deploy.container import from_bytes, to_bytes
from spikequant.errors import FormatError


@pytest.fixture(params=["residual", "competing"])
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.getfixturevalue(request.param)
    return found


def test_it_is_read_as_it_was_written(program: Program) -> None:
    again = from_bytes(to_bytes(program))
    assert again.hash == program.hash
    assert again.header == program.header
    assert all(np.array_equal(again.tensors[name], value) for name, value in program.tensors.items())


def test_every_damaged_byte_is_refused(program: Program) -> None:
    content = to_bytes(program)
    for at in range(len(content)):
        for flip in (1, 0x20, 0x80):
            damaged = bytearray(content)
            damaged[at] ^= flip
            with pytest.raises(FormatError):
                from_bytes(bytes(damaged))


def test_every_cut_is_refused(program: Program) -> None:
    content = to_bytes(program)
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


def refused_by_the_hash_alone(error: FormatError) -> bool:
    """A hostile writer would put the right hash."""
    return "does not fit its hash" in str(error)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=2),
        lambda d: d.update(format="other"),
        lambda d: d.update(header=[]),
        lambda d: d.update(header={}),
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
    ],
)
def test_hostile_headers_are_refused(residual: Program, change) -> None:
    with pytest.raises(FormatError) as found:
        from_bytes(rewritten(residual, change))
    assert not refused_by_the_hash_alone(found.value)


def changed(place: str, **fields: object):
    """A change of one operation."""
    return lambda d: next(op for op in d["header"]["operations"] if op["name"] == place).update(fields)


@pytest.mark.parametrize(
    "change",
    [
        changed("before", shape=[2**31]),
        changed("before", shape=[3]),
        changed("before", shape=[]),
        changed("before", high=10**6),
        changed("before", inputs=["nowhere"]),
        changed("before", inputs=["before"]),
        changed("before", inputs=["flat"]),
        changed("pull", strength=2**40),
        changed("pull", strength=-1),
        changed("pull", inputs=["winner"]),
        changed("cells", refractory=10**9),
        changed("cells", refractory=0),
        changed("winner", draws=7),
        changed("winner", draws=10**9),
        changed("winner", draws=0),
        lambda d: d["header"]["source"].update(rate=-1.0),
        lambda d: d["header"]["source"].update(rate=float("inf")),
        lambda d: d["header"]["source"].update(rate="0.5"),
        lambda d: d["header"]["source"].update(still=True),
        lambda d: d["header"]["source"].update(high=3),
    ],
)
def test_hostile_headers_of_neurons_that_compete_are_refused(competing: Program, change) -> None:
    with pytest.raises(FormatError) as found:
        from_bytes(rewritten(competing, change))
    assert not refused_by_the_hash_alone(found.value)


def test_a_sound_header_passes(competing: Program) -> None:
    assert from_bytes(rewritten(competing, changed("pull", strength=20))).hash == competing.hash


@pytest.mark.parametrize("draws", [np.array([0, 1, 2, 3, 4, 2**15]), np.array([-1, 1, 2, 3, 4, 5])])
def test_draws_out_of_their_range_are_refused(competing: Program, draws: np.ndarray) -> None:
    arrays = load(to_bytes(competing)) | {"winner.draws": draws.astype(np.int32)}
    with pytest.raises(FormatError, match="draws"):
        from_bytes(save(arrays, metadata={"program": json.dumps(document(competing), sort_keys=True, separators=(",", ":"))}))


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


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["header"].update(time=3),
        lambda d: d["header"].update(info={"a": 1.5}),
        lambda d: d.update(hash=None),
    ],
)
def test_the_change_that_the_hash_alone_sees(residual: Program, change) -> None:
    """A sound file of another program under the old hash, or under none."""
    with pytest.raises(FormatError, match="hash"):
        from_bytes(rewritten(residual, change))
