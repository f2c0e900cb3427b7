import signal
from pathlib import Path

import numpy as np
import pytest

from spikequant.data import hdf5, read_hdf5
from spikequant.errors import DataError

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as made:
        made["labels"] = np.array([3, 1], np.uint16)
        rows = made.create_dataset("spikes/times", (3,), dtype=h5py.vlen_dtype(np.float16))
        rows[0], rows[2] = [0.5], [1.0, 2.0]
    return path


@pytest.mark.parametrize("as_bytes", [False, True])
def test_arrays_and_ragged_rows_come_back_with_their_types(file: Path, as_bytes: bool) -> None:
    found = read_hdf5(file.read_bytes() if as_bytes else file, ["labels", "spikes/times"])
    assert found["labels"].tolist() == [3, 1]
    assert found["labels"].dtype == np.uint16
    assert [row.tolist() for row in found["spikes/times"]] == [[0.5], [], [1.0, 2.0]]
    assert found["spikes/times"][1].dtype == np.float16
    assert found["labels"].flags.writeable


def test_refusals_name_the_file(file: Path) -> None:
    with pytest.raises(DataError, match=r"file .*events\.h5: no data set 'absent'"):
        read_hdf5(file, ["absent"])
    with pytest.raises(DataError, match="file shd_test: data set 'labels' declares 4 bytes; must be at most 3"):
        read_hdf5(file.read_bytes(), ["labels"], limit=3, place="file shd_test")


def test_damage_is_a_data_error(file: Path) -> None:
    for content in (b"", b"no HDF5", file.read_bytes()[:600]):
        with pytest.raises(DataError, match="HDF5 content: damaged, or no HDF5"):
            read_hdf5(content, ["labels"])


def test_an_absent_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read file .*absent\.h5: No such file"):
        read_hdf5(tmp_path / "absent.h5", ["labels"])


def test_a_reader_that_crashes_is_a_data_error(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = tmp_path / "worker.py"
    crashing.write_text(f"import os\nos.kill(os.getpid(), {int(signal.SIGSEGV)})")
    monkeypatch.setattr(hdf5.hdf5_worker, "__file__", str(crashing))
    with pytest.raises(DataError, match=rf"ended the process that read it \(code -{int(signal.SIGSEGV)}\)"):
        read_hdf5(file, ["labels"])


def test_a_reader_that_does_not_end_is_a_data_error(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "worker.py"
    endless.write_text("while True: pass")
    monkeypatch.setattr(hdf5.hdf5_worker, "__file__", str(endless))
    monkeypatch.setattr(hdf5, "SECONDS", 0.2)
    with pytest.raises(DataError, match=r"took longer than 0\.2 s"):
        read_hdf5(file, ["labels"])


def test_without_h5py_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"install spikequant\[events\]"):
        read_hdf5(file, ["labels"])
