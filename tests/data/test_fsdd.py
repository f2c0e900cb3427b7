import io
import wave
from pathlib import Path

import numpy as np
import pytest

from spikequant.data.cochlea import Ear
from spikequant.data.fsdd import fsdd, sound
from spikequant.errors import DataError

SMALL = Ear(channels=20, steps=5)


def wav(samples: list[int], channels: int = 1, width: int = 2, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(np.array(samples, "<i2").tobytes())
    return buffer.getvalue()


def test_a_sound_is_read() -> None:
    assert sound(wav([1, -2, 3])).tolist() == [1, -2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF", "is no WAV file"),
        (b"nothing of the kind", "is no WAV file"),
        (wav([1, 2], channels=2), "2 channels of 2 bytes"),
        (wav([1, 2], rate=16000), "at 16000 Hz; must be"),
    ],
)
def test_other_sounds_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sound(content, "file 0_ada_0.wav")


def test_indices_below_five_are_tested(tmp_path: Path) -> None:
    (tmp_path / "fsdd").mkdir()
    for name in ("3_ada_0", "4_ada_4", "7_ada_5", "8_ada_49"):
        (tmp_path / "fsdd" / f"{name}.wav").write_bytes(wav(list(range(1, 800))))
    data = fsdd(tmp_path, SMALL)
    assert (data.train.y.tolist(), data.test.y.tolist(), data.name, data.shape) == ([7, 8], [3, 4], "fsdd", (20,))
    (tmp_path / "fsdd" / "seven.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"seven\.wav is not named digit_speaker_index"):
        fsdd(tmp_path, SMALL)


def test_absent_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no recording in {tmp_path}/fsdd"):
        fsdd(tmp_path)
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd" / "3_ada_0.wav").write_bytes(wav([1]))
    with pytest.raises(DataError, match="no train recordings in"):
        fsdd(tmp_path)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd" / "3_ada_0.wav").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cannot read .*3_ada_0\.wav: No such file or directory; choose a folder that you may read"):
        fsdd(tmp_path, SMALL)


def test_real_digits_over_700_channels(fsdd_root: Path) -> None:
    data = fsdd(fsdd_root)
    assert (tuple(data.train.x.shape), tuple(data.test.x.shape)) == ((10, 25, 700), (10, 25, 700))
    assert data.train.y.tolist() == list(range(10))
    active = (data.train.x > 0).float().mean((1, 2))
    assert 0.03 < active.min() < active.max() < 0.5
    voice = data.train.x.float().sum((0, 1))
    assert voice[:350].sum() > voice[350:].sum(), "voices have their power below 1 kHz"
