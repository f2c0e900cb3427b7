from pathlib import Path

import numpy as np
import pytest
import torch

from spikequant.data.binned import binned
from spikequant.errors import DataError

MADE = np.arange(12, dtype=np.uint8).reshape(2, 3, 2), np.array([1, 0])


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return MADE


def test_what_was_made_once_is_read_again(tmp_path: Path) -> None:
    make = Counted()
    splits = [binned("set", {"file": "abc"}, {"steps": 3}, make) for _ in range(2)]
    assert make.calls == 1
    assert all(torch.equal(split.x, torch.from_numpy(MADE[0])) and split.y.tolist() == [1, 0] and split.sequence for split in splits)


def test_other_files_or_another_binning_are_made_anew() -> None:
    make = Counted()
    for sources, options in (({"file": "a"}, {"steps": 3}), ({"file": "b"}, {"steps": 3}), ({"file": "a"}, {"steps": 4})):
        binned("set", sources, options, make)
    assert make.calls == 3


def test_damage_is_seen_and_mended(tmp_path: Path) -> None:
    make = Counted()
    binned("set", {}, {}, make)
    (kept,) = (tmp_path / "cache" / "binned").iterdir()
    for name in ("x.npy", "y.npy", "hashes.json"):
        content = (kept / name).read_bytes()
        (kept / name).write_bytes(content[:-3])
        assert binned("set", {}, {}, make).y.tolist() == [1, 0]
        assert (kept / name).read_bytes() == content
    assert make.calls == 4


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKEQUANT_CACHE", str(tmp_path / "file"))
    make = Counted()
    assert [binned("set", {}, {}, make).y.tolist() for _ in range(2)] == [[1, 0]] * 2
    assert make.calls == 2


def test_the_home_folder_is_spelled_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPIKEQUANT_CACHE", "~/kept")
    binned("set", {}, {}, Counted())
    assert (tmp_path / "kept" / "binned").is_dir()
    monkeypatch.setenv("SPIKEQUANT_CACHE", "~nobody-of-this-name/kept")
    with pytest.raises(DataError, match=r"no home folder to expand .* set SPIKEQUANT_CACHE to a folder for binned recordings"):
        binned("set", {}, {}, Counted())
