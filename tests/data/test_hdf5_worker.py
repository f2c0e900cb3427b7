"""Hostile files are made with h5py itself: whatever it can write, a stranger can send."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikequant.data import hdf5_worker
from spikequant.data.hdf5_worker import Refused, packed, read

h5py = pytest.importorskip("h5py")


def made(fill: Callable[[Any], None]) -> io.BytesIO:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content


def refusal(fill: Callable[[Any], None], name: str = "x", limit: int = 2**20) -> str:
    with pytest.raises(Refused) as caught:
        read(made(fill), [name], limit)
    return str(caught.value)


def test_reads_plain_compressed_and_ragged_values() -> None:
    def fill(file: Any) -> None:
        file["group/plain"] = np.arange(6, dtype=np.uint16).reshape(2, 3)
        file.create_dataset("packed", data=np.ones(8, np.float32), chunks=(4,), compression="gzip", shuffle=True, fletcher32=True)
        rows = file.create_dataset("rows", (2,), dtype=h5py.vlen_dtype(np.float16))
        rows[0], rows[1] = [0.5], [1.0, 2.0]

    found = read(made(fill), ["group/plain", "packed", "rows"], 2**20)
    assert np.array_equal(found["group/plain"], [[0, 1, 2], [3, 4, 5]])
    assert np.array_equal(found["packed"], np.ones(8))
    assert [row.tolist() for row in found["rows"]] == [[0.5], [1.0, 2.0]]
    assert found["rows"][0].dtype == np.float16


def test_external_storage_is_refused_and_its_file_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret!!")
    message = refusal(lambda file: file.create_dataset("x", (8,), "u1", external=[(str(secret), 0, 8)]))
    assert "has its values in another file" in message


@pytest.mark.parametrize("link", [h5py.SoftLink("/y"), h5py.ExternalLink("other.h5", "/y")])
def test_links_out_of_the_tree_are_refused(link: Any) -> None:
    def fill(file: Any) -> None:
        file["y"] = np.zeros(2)
        file["x"] = link
        file["group/x"] = link

    for name in ("x", "group/x"):
        assert f"is reached by a {type(link).__name__}" in refusal(fill, name)


def test_virtual_layouts_are_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "y", (4,))
        file.create_virtual_dataset("x", layout)

    assert "is put together from other data sets" in refusal(fill)


def test_a_filter_that_would_load_foreign_code_is_refused() -> None:
    def fill(file: Any) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4,))
        plan.set_filter(32013, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plan)

    assert refusal(fill) == "data set 'x' has filter 32013; must be one of deflate, shuffle, fletcher32, lzf, as others load foreign code"


def test_shapes_far_beyond_what_is_stored_are_refused() -> None:
    assert "declares 9999999999999968 bytes" in refusal(
        lambda file: file.create_dataset("x", (1249999999999996,), "f8", chunks=(4,)), limit=2**60
    )
    message = refusal(lambda file: file.create_dataset("x", (4,), "u1", maxshape=(None,), chunks=(2**28,)), limit=2**40)
    assert "declares 268435456 bytes by one chunk" in message
    zeros = np.zeros(2**23, np.uint8)  # 8 MiB in a few KB: the bomb itself
    assert "must be at most" in refusal(lambda file: file.create_dataset("x", data=zeros, chunks=True, compression="gzip"), limit=2**40)


def test_the_limit_is_of_all_data_sets_together() -> None:
    def fill(file: Any) -> None:
        file["x"], file["y"] = np.zeros(100, np.uint8), np.zeros(100, np.uint8)

    assert set(read(made(fill), ["x", "y"], 200)) == {"x", "y"}
    with pytest.raises(Refused, match="'y' declares 100 bytes; must be at most 99"):
        read(made(fill), ["x", "y"], 199)


def test_ragged_rows_count_against_the_limit_one_by_one() -> None:
    def fill(file: Any) -> None:
        rows = file.create_dataset("x", (3,), dtype=h5py.vlen_dtype(np.uint8))
        for index in range(3):
            rows[index] = np.zeros(50, np.uint8)

    assert len(read(made(fill), ["x"], 150)["x"]) == 3
    assert "the first 3 rows of data set 'x'" in refusal(fill, limit=149)


@pytest.mark.parametrize("dtype", ["S4", h5py.string_dtype(), h5py.ref_dtype, np.dtype([("a", "i4")]), h5py.vlen_dtype(np.dtype("S1"))])
def test_anything_but_numbers_is_refused(dtype: Any) -> None:
    assert "must hold integers or floats" in refusal(lambda file: file.create_dataset("x", (2,), dtype=dtype))


def test_what_is_no_data_set_is_refused() -> None:
    assert refusal(lambda file: file.create_group("x")) == "'x' must be a data set"
    assert refusal(lambda file: None) == "no data set 'x'"
    assert refusal(lambda file: file.create_dataset("x", data=[1]), "x/y") == "no data set 'x/y'"


def test_ragged_values_are_packed_in_a_row() -> None:
    said, flat = packed([np.array([1], np.uint8), np.array([2, 3], np.uint8)])
    assert (said["lengths"], flat.tolist()) == ([1, 2], [1, 2, 3])
    assert packed([])[0]["lengths"] == []


def test_bound_makes_an_allocation_beyond_it_fail() -> None:
    folder = Path(hdf5_worker.__file__).parent
    code = "import sys; sys.path.insert(0, sys.argv[1])\nfrom hdf5_worker import bound\nbound(2**31, 60)\nbytearray(2**32)"
    answer = subprocess.run([sys.executable, "-P", "-c", code, folder], capture_output=True, text=True, check=False)
    assert "MemoryError" in answer.stderr
