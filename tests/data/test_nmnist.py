from pathlib import Path

import numpy as np
import pytest
import torch

from spikequant.data import Batches, hold_out
from spikequant.data.events import Binning
from spikequant.data.nmnist import events, nmnist, nmnist_17
from spikequant.errors import DataError, SpecError


def record(x: int, y: int, on: int, t: int) -> bytes:
    return bytes([x, y, on << 7 | t >> 16, t >> 8 & 255, t & 255])


def test_the_layout_by_hand() -> None:
    t, place = events(record(3, 1, 1, 70_000) + record(0, 33, 0, 70_001))
    assert t.tolist() == [70_000, 70_001]
    assert place.tolist() == [34 * 34 + 1 * 34 + 3, 33 * 34]


def test_the_clock_running_over_is_no_event() -> None:
    t, place = events(record(0, 0, 0, 5) + record(0, 240, 0, 0) + record(0, 0, 0, 6) + record(0, 240, 0, 0) + record(0, 0, 0, 7))
    assert t.tolist() == [5, 6 + 8192, 7 + 2 * 8192]
    assert place.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes must be a multiple"), (b"1234", "4 bytes"), (record(34, 0, 0, 0), r"\(34, 0\), outside 34x34")],
)
def test_what_is_no_recording_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        events(content, "file 1.bin")


def test_absent_or_empty_folders_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=f"no folders Train and Test in {tmp_path}/nmnist"):
        nmnist(tmp_path)
    for part in ("Train", "Test"):
        (tmp_path / "nmnist" / part).mkdir(parents=True)
    with pytest.raises(DataError, match=f"no recording in {tmp_path}/nmnist/Train"):
        nmnist(tmp_path)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    for part in ("Train", "Test"):
        (tmp_path / "nmnist" / part / "0").mkdir(parents=True)
        (tmp_path / "nmnist" / part / "0" / "00001.bin").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cannot read .*00001\.bin: No such file or directory"):
        nmnist(tmp_path)
    with pytest.raises(SpecError, match="along a side of 34, got down=40; nearest valid value: 34"):
        nmnist(tmp_path, Binning(steps=4, down=40))


def test_real_recordings_keep_every_event(nmnist_bytes) -> None:
    for sample in (0, 500, 1099):
        content = nmnist_bytes(sample)
        seen = events(content)
        assert len(seen.t) == len(content) // 5
        assert 250_000 < seen.t[-1] < 340_000  # three saccades of about 100 ms


def test_a_part_of_the_real_set(nmnist_root) -> None:
    data = nmnist(nmnist_root)
    assert data.name == "nmnist (60 + 20 of 60000 + 10000)"
    assert (tuple(data.train.x.shape), tuple(data.test.x.shape)) == ((60, 25, 2, 34, 34), (20, 25, 2, 34, 34))
    assert data.train.sequence
    assert data.train.y.bincount(minlength=10).min() > 0
    content = min((nmnist_root / "nmnist" / "Train" / "0").iterdir())
    assert int(data.train.x[0].sum()) == len(content.read_bytes()) // 5


def test_real_recordings_look_like_their_digit(nmnist_root) -> None:
    """The mean picture of a digit is nearest to other recordings of it more often than chance would have it."""
    data = nmnist(nmnist_root, Binning(steps=1))
    pictures = data.train.x.float().flatten(1)
    pictures = (pictures - pictures.mean(1, keepdim=True)) / pictures.std(1, keepdim=True)
    alike = pictures @ pictures.T - 1e9 * torch.eye(len(pictures))
    assert (data.train.y[alike.argmax(1)] == data.train.y).float().mean() > 0.5


def test_batches_come_time_first_also_after_holding_out(nmnist_root) -> None:
    data = nmnist(nmnist_root, Binning(steps=5, down=2))
    assert data.shape == (2, 17, 17)
    kept, held = hold_out(data.train, 0.2, seed=0)
    for split in (kept, held):
        x, y = next(iter(Batches(split, 4, data.scale, seed=0)))
        assert x.shape == (5, 4, 2, 17, 17)
        assert y.shape == (4,)
    assert np.isclose(float(x.max()) % 1, 0)


def test_joined_pixels_keep_every_event(nmnist_root) -> None:
    joined, whole = nmnist_17(nmnist_root), nmnist(nmnist_root)
    assert joined.name == "nmnist (60 + 20 of 60000 + 10000), 17x17"
    assert (joined.shape, tuple(joined.test.x.shape)) == ((2, 17, 17), (20, 25, 2, 17, 17))
    fours = whole.test.x.long().unflatten(3, (17, 2)).unflatten(5, (17, 2)).sum((4, 6))
    assert torch.equal(joined.test.x.long(), fours)
