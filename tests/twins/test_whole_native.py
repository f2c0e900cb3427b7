"""Convolution of whole numbers by whole weights: exact, so that torch's, over the same whole numbers, has the same bits."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from spikequant.models import build
from spikequant.numerics import affine, integers, levels, snap, table, unit
from spikequant.numerics import conv2d as chosen
from spikequant.numerics.kernels import events_native, whole_native
from spikequant.numerics.kernels.events_native import Events, Form
from spikequant.quantizers import LSQ, Binary, Uniform
from spikequant.recipes import Recipe, quantize


def images(*shape: int, most: int = 1) -> Tensor:
    """Whole numbers up to ``most``; nine of ten are zero."""
    return (torch.randint(1, most + 1, shape) * (torch.rand(shape) < 0.1)).float().contiguous(memory_format=torch.channels_last)


def whole(*shape: int) -> Tensor:
    return torch.randint(-8, 9, shape).float()


def by_whole(x: Tensor, weight: Tensor, unit: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    codes = whole_native.codes(x, weight, unit, events_native.events_in(events_native.ready(), x))
    assert codes is not None
    return whole_native.conv2d(x, codes, unit, bias, form)


@pytest.mark.parametrize("outputs", [32, 64, 96, 128])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (5, 0), (5, 4)])
@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("channels", [True, False])
def test_sums_are_exact(outputs: int, kernel: int, padding: int, most: int, channels: bool) -> None:
    x, codes, bias = images(11, 3, 7, 5, most=most), whole(outputs, 3, kernel, kernel), torch.randn(outputs)
    each = torch.rand(outputs) + 0.1 if channels else torch.tensor(0.3)
    by_channel = each.reshape(-1, 1, 1)
    expected = conv2d(x, codes, padding=padding) * by_channel + bias.reshape(-1, 1, 1)
    found = by_whole(x, codes * by_channel.unsqueeze(-1), each, bias, Form(kernel, padding))
    assert torch.equal(found, expected)


def test_negative_events_and_sums_up_to_the_last_bit_are_exact() -> None:
    x = torch.zeros(1, 4, 3, 3)
    x[0, :, 1, 1] = torch.tensor([-64.0, -64.0, -64.0, -66.0])  # 127 * 258 = 32 766
    codes = torch.full((32, 4, 3, 3), 127.0) * (torch.arange(32) % 2 * 2 - 1).reshape(-1, 1, 1, 1)
    found = whole_native.conv2d(x, codes.to(torch.int8), torch.tensor(1.0), None, Form(3, 1))
    assert torch.equal(found, conv2d(x, codes, padding=1))
    assert found.abs().max() == 32766


def test_what_could_leave_its_bits_is_not_covered() -> None:
    x, codes, one = images(2, 4, 6, 6), whole(32, 4, 3, 3), torch.tensor(1.0)

    def covered(weight: Tensor = codes, unit: Tensor = one, share: float = 0.1, most: int = 1) -> bool:
        return whole_native.codes(x, weight, unit, Events(share, most)) is not None

    assert covered()
    assert not covered(most=-1)
    assert not covered(most=10_000)
    assert not covered(share=0.9)
    assert not covered(weight=codes[:16].repeat(3, 1, 1, 1))  # 48 channels: blocks of 16
    assert not covered(weight=codes + 0.25)
    assert not covered(weight=torch.where(codes == codes.max(), 128.0, codes))
    assert not covered(weight=torch.full_like(codes, float("nan")))
    assert not covered(unit=torch.tensor(0.0))
    assert whole_native.codes(x.bfloat16(), codes, one, Events(0.1, 1)) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not covered()


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x, weight, threads, found = images(9, 8, 9, 9), whole(32, 8, 3, 3), torch.get_num_threads(), []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        found.append(by_whole(x, weight, torch.tensor(1.0), None, Form(3, 1)))
    torch.set_num_threads(threads)
    assert all(torch.equal(found[0], each) for each in found)


@pytest.mark.parametrize("grid", [affine(-0.9, 0.9, 15), affine(-0.9, 0.9, 16), integers(0.1, -8, 16), integers(0.1, 0, 4)])
def test_the_unit_of_a_grid_makes_whole_numbers_of_its_levels(grid) -> None:  # type: ignore[no-untyped-def]
    found = unit(grid)
    assert found is not None
    assert torch.equal((levels(grid) / found).round() * found, levels(grid))


def test_grids_without_a_unit() -> None:
    assert unit(affine(-0.3, 1.0, 4)) is None
    assert unit(table(torch.tensor([0.0, 1.0]))) is None


def test_units_choose_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = images(128, 16, 8, 8), snap(integers(0.1, -8, 16), torch.randn(32, 16, 3, 3) / 4)
    called = []
    monkeypatch.setattr(whole_native, "conv2d", lambda *call: called.append("whole"))
    monkeypatch.setattr(events_native, "conv2d", lambda *call: called.append("events"))
    chosen(x, weight, padding=1, unit=torch.tensor(0.1))
    chosen(x, weight, padding=1)
    chosen(x / 2, weight, padding=1, unit=torch.tensor(0.1))
    assert called == ["whole", "events", "events"]


@pytest.mark.parametrize("weights", [Uniform(bits=4), LSQ(bits=4), Binary()])
def test_a_network_of_whole_weights_is_evaluated_by_whole_numbers(weights, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = quantize(build("squat-fmnist", time=8, decay=0.875, threshold=1.0), Recipe(weights=weights)).train()
    x = torch.rand(16, 1, 28, 28)
    with torch.no_grad():
        for _ in range(2):
            network(x)
    ran, run = [], whole_native.run_forward
    monkeypatch.setattr(whole_native, "run_forward", lambda *call: (ran.append(len(call[2])), run(*call))[1])
    network.eval()

    def spikes(images: Tensor) -> Tensor:
        return {node.name: value for node, value in network.values(images)}["lif2"]

    with_gradient = spikes(x)
    assert not ran
    with torch.no_grad():
        without = spikes(x)
        assert ran == [64]
        halves = torch.cat([spikes(half) for half in x.split(8)], dim=1)
    assert torch.equal(without, halves)
    assert (with_gradient != without).float().mean() < 0.01
    assert without.sum() > 0
