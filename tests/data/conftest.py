import gzip
import hashlib
import os
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikequant.data.official import Official


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEQUANT_DATA", raising=False)


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPIKEQUANT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def nmnist_bytes(official_root: Path) -> Callable[[int], bytes]:
    """The n-th real N-MNIST recording in its official form, from the packed copy."""
    file = official_root / "NMNIST-small" / "nmnist_small.npz"
    if not file.is_file():
        pytest.skip(f"real data: no file {file}")
    with np.load(file, allow_pickle=False) as packed:
        kept = {name: packed[name] for name in ("x", "y", "p", "dt", "offsets")}

    def build(sample: int) -> bytes:
        begin, end = kept["offsets"][sample : sample + 2]
        x, y, p, dt = (kept[name][begin:end].astype(np.int64) for name in ("x", "y", "p", "dt"))
        t = dt.cumsum()
        return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8).tobytes()

    return build


@pytest.fixture(scope="session")
def nmnist_root(official_root: Path, nmnist_bytes: Callable[[int], bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the real N-MNIST in the official folders: 60 recordings to train, 20 to test."""
    root = tmp_path_factory.mktemp("sets")
    with np.load(official_root / "NMNIST-small" / "nmnist_small.npz", allow_pickle=False) as packed:
        labels, tested, names = packed["label"], packed["is_test"].astype(bool), packed["sample_id"]
    for part, chosen in (("Train", np.flatnonzero(~tested)[:60]), ("Test", np.flatnonzero(tested)[:20])):
        for sample in chosen:
            folder = root / "nmnist" / part / str(labels[sample])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{names[sample]:05}.bin").write_bytes(nmnist_bytes(sample))
    return root


@pytest.fixture(scope="session")
def fsdd_root(official_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the real spoken digits as WAV files: indices 4 and 5 of one speaker."""
    file = official_root / "FSDD" / "fsdd.npz"
    if not file.is_file():
        pytest.skip(f"real data: no file {file}")
    folder = tmp_path_factory.mktemp("sounds") / "fsdd"
    folder.mkdir()
    with np.load(file, allow_pickle=False) as packed:
        audio, offsets = packed["audio"], packed["offsets"]
        for sample in np.flatnonzero((packed["speaker"] == 1) & np.isin(packed["index"], (4, 5))):
            name = f"{packed['label'][sample]}_{packed['speaker_names'][1]}_{packed['index'][sample]}.wav"
            with wave.open(str(folder / name), "wb") as wav:
                wav.setparams((1, 2, 8000, 0, "NONE", ""))
                wav.writeframes(audio[offsets[sample] : offsets[sample + 1]].astype("<i2").tobytes())
    return folder.parent


@pytest.fixture(scope="session")
def official_root() -> Path:
    """The folder of the real official files: SPIKEQUANT_TEST_DATA, else shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    root = Path(os.environ.get("SPIKEQUANT_TEST_DATA") or beside)
    if not root.is_dir():
        pytest.skip(f"real data: no folder {root}; set SPIKEQUANT_TEST_DATA to the folder of the official files")
    return root


@pytest.fixture
def idx() -> Callable[..., bytes]:
    """Bytes of an IDX file, made from an array by its definition."""

    def build(values: object) -> bytes:
        array = np.asarray(values, dtype=np.uint8)
        return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()

    return build


@pytest.fixture
def publish() -> Callable[..., Official]:
    """Writes files into a folder and answers them as published: name.gz for bytes to be packed, else name."""

    def build(folder: Path, name: str, content: bytes, packed: bool = False) -> Official:
        folder.mkdir(parents=True, exist_ok=True)
        gz = gzip.compress(content, mtime=0)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gz if packed else content)
        return Official(name, len(content), _sha256(content), Official(f"{name}.gz", len(gz), _sha256(gz)))

    return build


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
