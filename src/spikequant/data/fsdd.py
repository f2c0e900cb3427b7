"""Spoken digits (Free Spoken Digit Dataset) as spikes over 700 channels: real sound for the audio network. Never to be called SHD.

Source: Z. Jackson et al., "Free Spoken Digit Dataset" (CC BY-SA 4.0): ``{digit}_{speaker}_{index}.wav``, 8 kHz mono; indices 0 to 4 of
every speaker and digit are its authors' test set. The spikes: ``spikequant.data.cochlea``.
"""

import hashlib
import io
import re
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikequant.data.binned import Arrays, binned
from spikequant.data.cochlea import Ear, spikes
from spikequant.data.dataset import DataSet, Split
from spikequant.data.official import beginning, root_folder
from spikequant.errors import DataError

NAME = re.compile(r"([0-9])_([A-Za-z]+)_([0-9]+)\.wav")
SAMPLE_RATE, CLASSES, TESTED = 8000, 10, 5
LARGEST = 2**22
EAR = Ear()


def fsdd(root: Path | str | None = None, ear: Ear = EAR) -> DataSet:
    """The spoken digits from ``<root>/fsdd``, else ``<root>/free-spoken-digit-dataset/recordings``, as 25 steps of 40 ms.

    Raises:
        DataError: there is no recording, one split is empty, or a file is no 16-bit mono sound of 8 kHz.
    """
    folder = _located(root)
    parts: dict[str, list[Path]] = {"train": [], "test": []}
    for path in sorted(folder.glob("*.wav")):
        named = NAME.fullmatch(path.name)
        if named is None:
            raise DataError(f"{path} is not named digit_speaker_index.wav")
        parts["test" if int(named[3]) < TESTED else "train"].append(path)
    hashes = {part: _hash(paths) for part, paths in parts.items()}
    splits = {part: _split(paths, hashes[part], ear, f"{part} recordings in {folder}") for part, paths in parts.items()}
    return DataSet("fsdd", splits["train"], splits["test"], CLASSES, (ear.channels,), hashes, scale=1.0)


def sound(content: bytes, place: str = "sound") -> NDArray[np.int16]:
    """The samples of a WAV file.

    Raises:
        DataError: it is no 16-bit mono sound of 8 kHz.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            found = file.getnchannels(), file.getsampwidth(), file.getframerate()
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"{place} is no WAV file: {error}") from None
    if found != (1, 2, SAMPLE_RATE):
        raise DataError(f"{place} has {found[0]} channels of {found[1]} bytes at {found[2]} Hz; must be 1 of 2 bytes at {SAMPLE_RATE} Hz")
    return np.frombuffer(samples[: len(samples) // 2 * 2], "<i2")


def _located(root: Path | str | None) -> Path:
    base = root_folder(root)
    for name in ("fsdd", "free-spoken-digit-dataset/recordings"):
        if any((base / name).glob("*.wav")):
            return base / name
    raise DataError(f"no recording in {base / 'fsdd'}; put the WAV files of the Free Spoken Digit Dataset there")


def _content(path: Path) -> bytes:
    content = beginning(path, LARGEST)
    if len(content) > LARGEST:
        raise DataError(f"{path} has more than {LARGEST} bytes, which no spoken digit has")
    return content


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(_content(path)).digest())
    return digest.hexdigest()


def _split(paths: list[Path], sha256: str, ear: Ear, place: str) -> Split:
    if not paths:
        raise DataError(f"no {place}; the set has indices 0 to 4 to test and the others to train")

    def make() -> Arrays:
        x = np.stack([spikes(sound(_content(path), str(path)), SAMPLE_RATE, ear) for path in paths])
        return x, np.array([int(path.name[0]) for path in paths])

    return binned("fsdd", {"recordings": sha256}, ear._asdict(), make)
