import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikequant.data import read_npy, read_npz
from spikequant.errors import DataError


def npy(array: Any, **options: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, array, **options)
    return made.getvalue()


def npz(**arrays: Any) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)
    return made.getvalue()


def claiming(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.asfortranarray(np.ones((2, 3), "f4")), np.array(True), np.zeros((0, 3), ">u2")]
)
def test_arrays_of_numbers_come_back(array: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(array))
    for found in (read_npy(path), read_npy(str(path)), read_npy(npy(array)), read_npz(npz(a=array))["a"]):
        assert np.array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.flags.writeable


def test_a_header_that_claims_more_than_is_there_allocates_nothing() -> None:
    huge = claiming("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}")
    with pytest.raises(DataError, match=r"declares float64 \(1000000000000,\), which is not the 0 bytes"):
        read_npy(huge)
    negative = claiming("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", bytes(8))
    with pytest.raises(DataError, match="declares"):
        read_npy(negative)


def test_objects_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (canary,)

    for content in (npy(np.array([Payload()], object), allow_pickle=True),):
        with pytest.raises(DataError, match="holds object; must hold integers or floats"):
            read_npy(content)
    with pytest.raises(DataError, match="holds object"):
        read_npz(npz(x=np.array([Payload()], object)))
    assert not canary.exists()


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([1j]), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "i4")]), np.array(b"raw")])
def test_anything_but_numbers_is_refused(array: Any) -> None:
    with pytest.raises(DataError, match="must hold integers or floats"):
        read_npy(npy(array))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        npy(np.arange(3))[:-1],
        npy(np.arange(3)) + b"x",
        claiming("__import__('os').system('true')"),
        claiming("{'descr': '<f8', 'fortran_order': False, 'shape': 'many'}"),
        claiming("(" * 60),
        b"\x93NUMPY\x03\x00" + bytes(200),
    ],
)
def test_damage_is_a_data_error(content: bytes) -> None:
    with pytest.raises(DataError, match="npy content"):
        read_npy(content)


def test_an_npz_is_bounded_and_holds_arrays_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unpacks to 8388736 bytes; must be at most 1048576"):
        read_npz(npz(a=np.zeros(2**20)), limit=2**20)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("run.py", b"print()")
    with pytest.raises(DataError, match=r"member 'run\.py' must be an \.npy"):
        read_npz(made.getvalue())
    with pytest.raises(DataError, match="absent"):
        read_npy(tmp_path / "absent.npy")
