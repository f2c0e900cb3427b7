import pytest
import torch
from torch import Generator

from spikequant.data.encoding import direct, rate
from spikequant.errors import MismatchError, SpecError


def test_direct_repeats_the_image_without_a_copy():
    x = torch.rand(2, 3, 4, 4, generator=Generator().manual_seed(0))
    steps = direct(x, time=5)
    assert steps.shape == (5, 2, 3, 4, 4)
    assert all(torch.equal(step, x) for step in steps)
    assert steps.data_ptr() == x.data_ptr()
    assert steps.stride(0) == 0


def test_direct_needs_a_step():
    with pytest.raises(SpecError, match="time 0 must be at least 1"):
        direct(torch.zeros(1, 1), time=0)


def test_rate_fires_where_the_noise_lies_below_the_pixel():
    x = torch.tensor([[0.0, 0.25, 1.0]])
    noise = torch.tensor([[[0.0, 0.2, 0.99]], [[0.5, 0.25, 0.0]]])
    assert rate(x, noise).tolist() == [[[0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0]]]


def test_rate_fires_with_the_intensity_as_probability():
    x = torch.tensor([0.1, 0.5, 0.9])
    spikes = rate(x, torch.rand(20_000, 3, generator=Generator().manual_seed(0)))
    assert spikes.mean(dim=0).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.012)  # 3.4 standard errors at 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rate_keeps_the_dtype(dtype):
    assert rate(torch.ones(2, dtype=dtype), torch.zeros(3, 2)).dtype == dtype


@pytest.mark.parametrize("shape", [(2,), (4, 3), (4, 1, 2), ()])
def test_noise_of_another_shape_is_refused(shape):
    with pytest.raises(MismatchError, match=r"must be \(time, \*\(2,\)\)"):
        rate(torch.zeros(2), torch.zeros(shape))


def test_pixels_that_were_not_scaled_are_refused():
    with pytest.raises(SpecError, match=r"x of dtype torch.uint8 must be floating point"):
        rate(torch.zeros(2, dtype=torch.uint8), torch.zeros(3, 2))
