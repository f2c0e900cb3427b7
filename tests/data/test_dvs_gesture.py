import struct
from pathlib import Path

import pytest

from spikequant.data.dvs_gesture import Trial, dvs_gesture, trials
from spikequant.data.events import Binning
from spikequant.errors import DataError, SpecError

HEAD = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"
LABELS = "class,startTime_usec,endTime_usec\n"


def recording(events: list[tuple[int, int, int, int]]) -> bytes:
    """Events of (microseconds, x, y, on)."""
    packed = [struct.pack("<Ii", 1 | on << 1 | y << 2 | x << 17, t) for t, x, y, on in events]
    return HEAD + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(packed), len(packed), len(packed)) + b"".join(packed)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "dvs-gesture"
    folder.mkdir()
    (folder / "trials_to_train.txt").write_text("user01_led.aedat\n")
    (folder / "trials_to_test.txt").write_text("user24_lab.aedat\n\n")
    events = [(50, 0, 0, 1), (1000, 8, 4, 1), (41_000, 127, 127, 0), (90_000, 1, 1, 1), (200_000, 0, 0, 0)]
    (folder / "user01_led.aedat").write_bytes(recording(events))
    (folder / "user01_led_labels.csv").write_text(LABELS + "1,1000,80000\n11,80000,300000\n")
    (folder / "user24_lab.aedat").write_bytes(recording([(10, 4, 0, 0)]))
    (folder / "user24_lab_labels.csv").write_text(LABELS + "2,0,100\n")
    return tmp_path


def test_gestures_are_cut_binned_and_split_by_the_lists(root: Path) -> None:
    data = dvs_gesture(root)
    assert (tuple(data.train.x.shape), tuple(data.test.x.shape)) == ((2, 25, 2, 32, 32), (1, 150, 2, 32, 32))
    assert (data.train.y.tolist(), data.test.y.tolist(), data.classes, data.shape) == ([0, 10], [1], 11, (2, 32, 32))
    first = data.train.x[0].nonzero().tolist()
    assert first == [[0, 1, 1, 2], [1, 0, 31, 31]]  # step, polarity, row, column; the event at 50 us lies before the gesture
    assert data.train.x[1].nonzero().tolist() == [[0, 1, 0, 0], [2, 0, 0, 0]]
    assert set(data.sha256) == {"user01_led.aedat", "user01_led_labels.csv", "user24_lab.aedat", "user24_lab_labels.csv"}


def test_the_binning_can_be_chosen(root: Path) -> None:
    data = dvs_gesture(root, Binning(steps=2, by="count", down=8), Binning(steps=3, down=8))
    assert (tuple(data.train.x.shape), tuple(data.test.x.shape)) == ((2, 2, 2, 16, 16), (1, 3, 2, 16, 16))
    with pytest.raises(DataError, match="one size, got down=8 and down=4"):
        dvs_gesture(root / "nowhere", Binning(steps=2, down=8), Binning(steps=2, down=4))
    with pytest.raises(SpecError, match="along a side of 128, got down=200"):
        dvs_gesture(root, Binning(steps=2, down=200), Binning(steps=2, down=200))


def test_labels_are_checked() -> None:
    assert trials(LABELS + "3,5,9\n") == [Trial(2, 5, 9)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,1,2", "class 0"),
        ("12,1,2", "class 12"),
        ("1,5,5", "from 5 to 5"),
        ("1,2", "line 2 is '1,2'"),
        ("a,b,c", "'a,b,c'"),
    ],
)
def test_bad_labels_are_refused(line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        trials(LABELS + line + "\n")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trials_to_train.txt", b"../user01_led.aedat", "names of .aedat files beside it"),
        ("trials_to_train.txt", b"user99_led.aedat", r"cannot read .*user99_led\.aedat"),
        ("user01_led.aedat", recording([(1500, 128, 0, 1)]), r"\(128, 0\), outside 128x128"),
        ("user01_led_labels.csv", LABELS.encode(), "hold no gesture"),
    ],
)
def test_what_is_wrong_is_named(root: Path, file: str, content: bytes, message: str) -> None:
    (root / "dvs-gesture" / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        dvs_gesture(root)


def test_an_absent_set_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no file trials_to_train.txt in {tmp_path}/dvs-gesture; unpack"):
        dvs_gesture(tmp_path)
