from importlib import resources

import pytest
import torch

from spikequant.data import digits as room
from spikequant.data.digits import digits
from spikequant.errors import DataError


def test_the_digits_are_the_published_ones():
    data = digits()
    assert (data.name, data.classes, data.shape, data.scale) == ("digits", 10, (1, 8, 8), 16.0)
    everything = torch.cat([data.train.y, data.test.y])
    assert everything.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = torch.cat([data.train.x, data.test.x])
    assert pixels.dtype == torch.uint8
    assert (int(pixels.min()), int(pixels.max()), int(pixels.sum())) == (0, 16, 561_718)


def test_the_first_image_is_a_zero_and_held_out():
    data = digits()
    assert int(data.test.y[0]) == 0
    assert data.test.x[0, 0].tolist() == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ]


def test_every_fifth_of_each_class_is_held_out():
    data = digits()
    assert (len(data.train.y), len(data.test.y)) == (1437, 360)
    assert data.test.y.bincount().tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]
    again = digits()
    assert torch.equal(data.test.x, again.test.x)
    assert torch.equal(data.train.y, again.train.y)


def test_the_embedded_file_is_small_and_hashed():
    assert len((resources.files("spikequant.data") / "digits.npz").read_bytes()) < 50_000
    assert digits().sha256 == {"digits.npz": room.SHA256}


def test_a_damaged_embedded_file_is_told(monkeypatch):
    monkeypatch.setattr(room, "SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"digits.npz has sha256 6f8015\w+, must have 0{64}; install spikequant again"):
        digits()


def test_an_absent_embedded_file_is_told(monkeypatch):
    monkeypatch.setattr(room, "FILE", "absent.npz")
    with pytest.raises(DataError, match=r"cannot read .*absent.npz: No such file or directory; install spikequant again"):
        digits()
