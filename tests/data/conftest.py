import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikequant.data.official import Official


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEQUANT_DATA", raising=False)


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
