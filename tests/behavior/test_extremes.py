import pytest
import torch
from torch import nn

from spikequant.behavior import extremes
from spikequant.models import build
from spikequant.neurons import LIF
from spikequant.numerics import bounds
from spikequant.quantizers import ThresholdCentered, Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training import Training, fit


def test_the_mapping_grows_over_calls_and_ends_with_the_block() -> None:
    model = nn.Sequential(LIF(decay=1.0, threshold=2.0, reset="value"))
    with extremes(model) as seen:
        model(torch.tensor([[[1.0]], [[-3.0]]]))
        model(torch.tensor([[[5.0]]]))
    assert seen == {"0": (-2.0, 5.0)}
    model(torch.tensor([[[50.0]]]))
    assert seen == {"0": (-2.0, 5.0)}


def test_a_frozen_range_takes_the_extremes_of_the_training_run() -> None:
    model = build("digits", seed=0)
    loader = [(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8))]
    with extremes(model) as seen:
        fit(model, loader, Training(epochs=2))
    assert seen.keys() == {"lif1", "lif2"}
    small = quantize(model, Recipe(state=Uniform(bits=4, symmetric=False, range="frozen")), extremes=seen)
    for name, ends in seen.items():
        assert [float(end) for end in bounds(small.get_submodule(name).state.grid())] == pytest.approx(ends, rel=1e-5)
    centered = quantize(model, Recipe(state=ThresholdCentered(bits=4, range="frozen")), extremes=seen)
    low, high = (float(end) for end in bounds(centered.lif1.state.grid()))
    assert (low, high) == pytest.approx((seen["lif1"][0], max(seen["lif1"][1], 1.0)), rel=1e-5)
