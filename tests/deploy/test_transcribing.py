import numpy as np
import pytest
import torch

from spikequant.deploy import Pixels, lower
from spikequant.deploy.operations import Conv2d, Dense, Lif, OrPool, SumPool
from spikequant.deploy.transcribing import whole
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, Wiring, build
from spikequant.models.wiring import chain
from spikequant.recipes import Recipe, bake, quantize

BATCHES = [(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(8, dtype=torch.long))]


@pytest.fixture(scope="module")
def small() -> Network:
    return quantize(build("digits"), Recipe.integer(), BATCHES)


def test_operations_follow_the_wiring(small: Network) -> None:
    conv1, lif1, pool1, *_, readout = lower(small).header.operations
    assert isinstance(conv1, Conv2d)
    assert isinstance(lif1, Lif)
    assert isinstance(pool1, OrPool)
    assert isinstance(readout, Dense)
    assert (conv1.bits, conv1.padding, lif1.state_bits, lif1.reset) == (4, (1, 1), 8, "value")
    assert (lif1.leak.multiplier, lif1.leak.shift, lif1.leak.rounding) == (128, 8, "trunc")


def test_bytes_and_what_the_network_is_shown_give_the_same(small: Network) -> None:
    pixels = torch.randint(0, 17, (12, 1, 8, 8), dtype=torch.uint8)
    program = lower(small, pixels=Pixels(16.0))
    assert np.array_equal(program.run(pixels.numpy()), program.run((pixels / 16.0).numpy()))
    assert program.tensors["input.table"].shape == (1, 256)


def test_normalized_pixels(small: Network) -> None:
    pixels = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    program = lower(small, pixels=Pixels(mean=(0.5,), std=(0.25,)))
    assert np.array_equal(program.run(pixels.numpy()), program.run(((pixels / 255.0 - 0.5) / 0.25).numpy()))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (True, r"pixels must be Pixels\(scale, mean, std\), as Pixels\(255\.0\), got True"),
        (Pixels(mean=(0.5, 0.5, 0.5)), "mean and std must have 1 value, or one for each of 1 channels, got 3 and 1"),
        (Pixels(scale=0), "scale and std must be above 0, got 0"),
        (Pixels(std=(0.0,)), "scale and std must be above 0"),
    ],
)
def test_pixels_that_are_none_are_refused(small: Network, pixels: Pixels, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        lower(small, pixels=pixels)


def test_a_baked_network_gives_the_same_program(small: Network) -> None:
    images = BATCHES[0][0].numpy()
    assert np.array_equal(lower(bake(small)).predict(images), lower(small).predict(images))


def test_binary_weights_are_one_plane() -> None:
    program = lower(quantize(build("digits"), Recipe.integer(1), BATCHES))
    conv = program.header.operations[0]
    assert (conv.coding, conv.bits) == ("planes", 1)
    assert set(np.unique(program.tensors["conv1.basis"])) == {1}


def test_average_becomes_sum() -> None:
    float_network = build("sew-resnet8", width=4, time=2)
    program = lower(quantize(float_network, Recipe.integer(), [(torch.rand(2, 3, 32, 32), torch.zeros(2))]))
    assert [op.size for op in program.header.operations if isinstance(op, SumPool)] == [(8, 8)]


def test_events_have_their_range() -> None:
    nodes = chain(
        ("encode", "encode", {"encoding": "events"}),
        ("linear", "linear", {"in_features": 6, "out_features": 3}),
        ("lif", "lif", {"decay": 0.9, "reset_timing": "next", "compare": ">"}),
    )
    network = Network(Wiring(name="events", time=5, input_shape=(6,), readout="count", nodes=nodes))
    events = torch.randint(0, 4, (5, 7, 6)).float()
    small = quantize(network, Recipe.integer(), [(events, torch.zeros(7))])
    program, classes = lower(small, events=(0, 3)), torch.zeros(7, dtype=torch.long)
    assert (program.header.source.still, program.header.source.high) == (False, 3)
    assert program.check(small, [(events, classes)]).exact
    with pytest.raises(MismatchError, match=r"got [01]\.5; count them first"):
        program.check(small, [(events / 2, classes)])
    with pytest.raises(MismatchError, match=r"events=\(0, 3\)"):
        lower(small).check(small, [(events, classes)])
    with pytest.raises(SpecError, match="pixels are for a network of encoding 'direct', got 'events'"):
        lower(small, pixels=Pixels())
    for wrong in ((0,), 5):
        with pytest.raises(SpecError, match="events must be the lowest and the highest whole number of a step"):
            lower(small, events=wrong)


def test_values_that_are_not_whole_are_refused() -> None:
    assert whole(torch.tensor([2.0, -1.0]), "it").tolist() == [2, -1]
    with pytest.raises(SpecError, match=r"it holds .* as 0\.5"):
        whole(torch.tensor([2.0, 0.5]), "it")


def test_padded_pools_are_refused() -> None:
    nodes = chain(
        ("encode", "encode", {}),
        ("conv", "conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 3}),
        ("lif", "lif", {"tau": 2.0}),
        ("pool", "max_pool", {"kernel_size": 3, "padding": 1}),
    )
    network = Network(Wiring(name="n", time=2, input_shape=(1, 8, 8), readout="mean", nodes=nodes))
    with pytest.raises(SpecError, match="pool"):
        lower(quantize(network, Recipe.integer(), BATCHES))
