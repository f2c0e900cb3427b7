import pytest
import torch
from torch import nn

from spikequant.numerics import Dynamics, lif_scan
from spikequant.numerics.norm import Norm, Tail, norm_scan


def test_a_hand_computed_window() -> None:
    """Currents .1 .6 / .2 .3 become .2 1.2 / .4 .6: one neuron of the window fires at once, and its window with it."""
    current = torch.tensor([0.1, 0.6, 0.2, 0.3]).reshape(1, 1, 1, 2, 2)
    spikes = norm_scan(current, Norm(torch.tensor([2.0]), torch.tensor([0.0])), Dynamics(torch.tensor(1.0)), steps=3, tail=Tail(2))
    assert spikes.flatten().tolist() == [1.0, 1.0, 1.0]


def test_it_is_batch_norm_then_scan_then_pool_with_their_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 2, 4, 4, requires_grad=True)
    layer = nn.BatchNorm2d(2)
    layer.weight.data.uniform_(0.5, 1.5)
    d = Dynamics(torch.tensor(0.5), decay=0.8)
    normal = layer(x.flatten(0, 1)).unflatten(0, (3, 4))
    expected = nn.functional.max_pool2d(lif_scan(normal, d)[0].flatten(0, 1), 2).unflatten(0, (3, 4))
    mean, inverse = x.mean((0, 1, 3, 4)).detach(), (x.var((0, 1, 3, 4), unbiased=False) + layer.eps).rsqrt().detach()
    scale = layer.weight * inverse
    spikes = norm_scan(x, Norm(scale, layer.bias - mean * scale, mean, inverse), d, tail=Tail(2))
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, expected)
    weight = torch.linspace(-1, 1, spikes.numel()).reshape(spikes.shape)
    inputs = [x, layer.weight, layer.bias]
    ours, torchs = (torch.autograd.grad((each * weight).sum(), inputs) for each in (spikes, expected))
    for gradient, expected_gradient in zip(ours, torchs, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_goes_through_wide_membranes_and_counts(dtype: torch.dtype) -> None:
    current, counts, leak = torch.full((1, 1, 1, 64, 64), 0.0107, dtype=dtype), torch.empty(1, 1), Dynamics(torch.tensor(0.4))
    half = Norm(torch.ones(1, dtype=dtype), torch.zeros(1, dtype=dtype))
    spikes = norm_scan(current, half, leak, steps=640, tail=Tail(counts=counts))
    expected = norm_scan(current.float(), Norm(torch.ones(1), torch.zeros(1)), leak, steps=640)
    assert spikes.dtype == dtype
    assert torch.equal(spikes.float(), expected)
    assert counts.item() == expected.sum() > torch.finfo(torch.float16).max
