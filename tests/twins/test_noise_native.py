"""The C twin of ``uniform`` against its reference, bit for bit."""

import pytest
import torch

from spikequant.numerics import rounding
from spikequant.numerics.kernels import noise_native


@pytest.mark.parametrize("words", [(0, 0, 0), (7, 3, 2**20), (2**40, 12, 5), (-3, 1, 9)])
def test_noise_is_the_references(words: tuple[int, int, int]) -> None:
    for index in (torch.arange(1000).reshape(10, 100), torch.tensor([2**62, -1, 0, 5]), torch.tensor(4), torch.empty(0, dtype=torch.int64)):
        assert noise_native.fits(index)
        assert torch.equal(noise_native.uniform(*words, index), rounding.uniform(*words, index))
    assert not noise_native.fits(torch.arange(6).reshape(2, 3).T)
