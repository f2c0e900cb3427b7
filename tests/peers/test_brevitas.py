"""Brevitas 0.13: its default weight grid is our mid-tread grid over the range of the weights."""

from types import ModuleType

import pytest
import torch

from spikequant.numerics import encode, levels, snap
from spikequant.quantizers import Uniform


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weight_codes(brevitas: ModuleType, bits: int, per_channel: bool) -> None:
    from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat

    kind = Int8WeightPerChannelFloat if per_channel else Int8WeightPerTensorFloat
    layer = brevitas.QuantConv2d(8, 16, 3, bias=False, weight_bit_width=bits, weight_quant=kind)
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(bits))
    layer.weight.data = weight.clone()
    theirs = layer.quant_weight()
    quantizer = Uniform(bits=bits, levels_at="zero", per_channel=per_channel).build((16, 8, 3, 3)).eval()
    quantizer.observe(weight)
    quantizer.fit()
    grid = quantizer.grid()
    assert torch.allclose(grid.step, theirs.scale.flatten() if per_channel else theirs.scale, rtol=1e-6)
    assert (encode(grid, weight) - (2 ** (bits - 1) - 1)).equal(theirs.int().to(torch.int32))
    assert torch.allclose(snap(grid, weight), theirs.value, rtol=1e-6, atol=0)
    assert levels(grid).shape[-1] == 2**bits - 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bits", "expected"), [(2, [1.0, -1.0, 0.0, -1.0]), (3, [1.0, -1.0, 1 / 3, -2 / 3])])
def test_two_bits_are_three_values(brevitas: ModuleType, bits: int, expected: list[float]) -> None:
    weight = torch.tensor([[0.9, -1.0, 0.4, -0.6]])
    layer = brevitas.QuantLinear(4, 1, bias=False, weight_bit_width=bits)
    layer.weight.data = weight.clone()
    ours = snap(Uniform(bits=bits, low=-1.0, high=1.0, levels_at="zero").grid(), weight)
    assert layer.quant_weight().value.flatten().tolist() == pytest.approx(expected)
    assert ours.flatten().tolist() == pytest.approx(expected)
