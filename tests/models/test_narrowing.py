import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build, chain
from spikequant.models.narrowing import couplings, narrowed
from spikequant.models.wiring import Args
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize

KEPT = {"lif1": torch.tensor([0, 2, 3]), "lif2": torch.tensor([1, 4])}


def silenced(model: Network, kept: dict[str, torch.Tensor]) -> Network:
    """The same network where all other channels never fire."""
    for norm, lif in (("norm1", "lif1"), ("norm2", "lif2")):
        rest = [channel for channel in range(model.get_submodule(norm).num_features) if channel not in kept[lif].tolist()]
        with torch.no_grad():
            model.get_submodule(norm).weight[rest] = 0
            model.get_submodule(norm).bias[rest] = 0
    return model


def test_a_channel_taken_out_is_a_channel_that_never_fires() -> None:
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 4
    model = build("digits", width=4)
    smaller = narrowed(model, KEPT)
    assert (smaller.conv1.out_channels, smaller.conv2.weight.shape, smaller.readout.in_features) == (3, (2, 3, 3, 3), 8)
    expected = silenced(model, KEPT).eval()(x)
    assert expected.abs().sum() > 0
    assert torch.allclose(smaller.eval()(x), expected, atol=1e-6)
    assert smaller.shapes()["lif2"] == (2, 4, 4)


def test_residual_sums_tie_the_channels_that_they_add() -> None:
    assert list(couplings(build("sew-resnet8", width=4).wiring)) == [f"block{place}_first_lif" for place in (1, 2, 3)]


def test_a_recurrence_ties_the_channels_of_its_neuron() -> None:
    back: Args = {"recurrent": {"kind": "linear", "in_features": 4, "out_features": 4}, "decay": 0.5}
    for kind, args, expected in (("lif", {"decay": 0.5}, ["neuron"]), ("synaptic", back, [])):
        layers = [("first", "linear", {"in_features": 3, "out_features": 4}), ("neuron", kind, args)]
        nodes = chain(("encode", "encode", {}), *layers, ("readout", "linear", {"in_features": 4, "out_features": 2}))
        wiring = Wiring(name="small", time=2, input_shape=(3,), readout="mean", nodes=nodes)
        assert list(couplings(wiring)) == expected


def test_what_cannot_be_taken_out_is_refused() -> None:
    model = build("sew-resnet8", width=4)
    with pytest.raises(SpecError, match="stem_lif"):
        narrowed(model, {"stem_lif": torch.tensor([0])})
    with pytest.raises(SpecError, match="keep at least 1"):
        narrowed(model, {"block1_first_lif": torch.tensor([], dtype=torch.int64)})
    with pytest.raises(SpecError, match="then quantize"):
        narrowed(quantize(model, Recipe(weights=Uniform(bits=2))), {"block1_first_lif": torch.tensor([0])})
