import gzip
from pathlib import Path

import numpy as np
import pytest

from spikequant.data.events import Binning
from spikequant.data.shd import shd
from spikequant.errors import DataError, SpecError

h5py = pytest.importorskip("h5py")
Sample = tuple[list[float], list[int]]


def write(path: Path, samples: list[Sample], labels: list[int]) -> None:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["labels"] = np.array(labels, np.uint16)
        times = file.create_dataset("spikes/times", (len(samples),), dtype=h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (len(samples),), dtype=h5py.vlen_dtype(np.uint16))
        for index, (seconds, channels) in enumerate(samples):
            times[index], units[index] = np.array(seconds, np.float16), np.array(channels, np.uint16)
        file["extra/speaker"] = np.array(labels, np.uint16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "shd" / "shd_train.h5", [([0.0, 0.5, 0.03125], [0, 699, 5]), ([0.25, 2.0], [7, 8])], [3, 19])
    write(tmp_path / "shd" / "shd_test.h5", [([0.125], [100])], [0])
    return tmp_path


def test_steps_of_40_ms_of_700_channels(root: Path) -> None:
    data = shd(root)
    assert (tuple(data.train.x.shape), tuple(data.test.x.shape)) == ((2, 25, 700), (1, 30, 700))
    assert (data.train.y.tolist(), data.classes, data.shape, data.train.sequence) == ([3, 19], 20, (700,), True)
    assert data.train.x[0].nonzero().tolist() == [[0, 0], [0, 5], [12, 699]]
    assert data.train.x[1].nonzero().tolist() == [[0, 7]]  # bins begin at the first spike; 1.75 s later lies beyond
    assert set(data.sha256) == {"shd_train.h5", "shd_test.h5"}


def test_channels_are_not_joined(root: Path) -> None:
    with pytest.raises(SpecError, match="along a side of 1, got down=4; nearest valid value: 1"):
        shd(root, Binning(steps=25, step_ms=40.0, down=4))


def test_packed_files_are_the_same_data(root: Path) -> None:
    plain = shd(root)
    for path in (root / "shd").iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert shd(root).sha256 == plain.sha256


def test_the_binning_can_be_chosen(root: Path) -> None:
    assert shd(root, Binning(steps=4, by="count"), Binning(steps=2)).train.x.shape == (2, 4, 700)


@pytest.mark.parametrize(
    ("samples", "labels", "message"),
    [
        ([([0.1], [700])], [1], "outside 0 to 699"),
        ([([0.1], [1])], [20], "a label is 20 or 20; must be 0 to 19"),
        ([([0.1, 0.2], [1])], [1], "2 times and 1 units"),
        ([([11.0], [1])], [1], "a time outside 0 to 10.0 s"),
        ([([0.1], [1])], [1, 2], "1 times, 1 units and 2 labels"),
    ],
)
def test_what_cannot_be_is_refused(root: Path, samples: list[Sample], labels: list[int], message: str) -> None:
    write(root / "shd" / "shd_train.h5", samples, labels)
    with pytest.raises(DataError, match=message):
        shd(root)


def test_absent_and_damaged_files_are_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"no file shd_train\.h5 or shd_train\.h5\.gz in"):
        shd(root / "elsewhere")
    (root / "shd" / "shd_test.h5").write_bytes(b"not HDF5")
    with pytest.raises(DataError, match=r"file shd_test\.h5 in folder"):
        shd(root)
    (root / "shd" / "shd_test.h5").unlink()
    with pytest.raises(DataError, match=r"no file shd_test\.h5 or shd_test\.h5\.gz"):
        shd(root)
