"""Convolution by events against torch's: whole numbers, so that every sum is exact and equal in any order."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from spikequant.models import build
from spikequant.numerics import conv2d as chosen
from spikequant.numerics.kernels import events_native
from spikequant.numerics.kernels.events_native import Form


def images(shape: tuple[int, ...], share: float = 0.15, most: int = 1) -> Tensor:
    there = torch.rand(shape) < share
    return (there * torch.randint(1, most + 1, shape)).float().contiguous(memory_format=torch.channels_last)


def whole(*shape: int) -> Tensor:
    return torch.randint(-8, 9, shape).float()


@pytest.mark.parametrize("outputs", [16, 32, 48, 64, 128])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (3, 2), (5, 0), (5, 2), (5, 4)])
@pytest.mark.parametrize("most", [1, 3])
def test_values_and_gradients_are_equal(outputs: int, kernel: int, padding: int, most: int) -> None:
    x, weight, bias = images((11, 3, 7, 5), most=most), whole(outputs, 3, kernel, kernel), whole(outputs)
    leaves = [each.requires_grad_() for each in (x, weight, bias)]
    assert events_native.fits(x, weight, Form(kernel, padding))
    expected, found = conv2d(*leaves, padding=padding), events_native.conv2d(x, weight, bias, Form(kernel, padding))
    assert torch.equal(found, expected)
    to_output = whole(*expected.shape)
    for gradient, twin in zip(torch.autograd.grad(expected, leaves, to_output), torch.autograd.grad(found, leaves, to_output), strict=True):
        assert torch.equal(gradient, twin)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 0)])
def test_bfloat16_images_give_what_autocast_gives(kernel: int, padding: int) -> None:
    """Whole numbers up to 256 are exact in bfloat16; weights are rounded as autocast rounds them, and sums once."""
    x, weight = images((11, 3, 9, 7), most=2).bfloat16().requires_grad_(), (whole(32, 3, kernel, kernel) + 0.001).requires_grad_()
    expected = conv2d(x.float(), weight.bfloat16().float(), padding=padding).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = events_native.conv2d(x, weight, None, Form(kernel, padding))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    to_output = whole(*expected.shape).bfloat16() / 8
    (to_x, to_weight), (twin_to_x, twin_to_weight) = (torch.autograd.grad(each, [x, weight], to_output) for each in (expected, found))
    assert torch.equal(to_x, twin_to_x)
    torch.testing.assert_close(twin_to_weight, to_weight, atol=0.0, rtol=2**-8)  # autocast rounds it to bfloat16 on its way


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_images_without_events_and_full_of_them_are_no_exception(share: float) -> None:
    x, weight = images((3, 5, 4, 6), share, most=2), whole(16, 5, 3, 3).requires_grad_()
    expected, found = conv2d(x, weight, padding=1), events_native.conv2d(x, weight, None, Form(3, 1))
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(each.sum(), weight)[0] for each in (expected, found)))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x, weight, g = images((9, 8, 9, 9)), torch.randn(32, 8, 3, 3).requires_grad_(), torch.randn(9, 32, 9, 9)
    found, threads = [], torch.get_num_threads()
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        y = events_native.conv2d(x, weight, None, Form(3, 1))
        found.append((y.detach(), torch.autograd.grad(y, weight, g)[0]))
    torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for later in found[1:] for one, other in zip(found[0], later, strict=True))


def test_a_nan_is_an_event() -> None:
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = float("nan")
    assert events_native.conv2d(x, torch.ones(16, 1, 3, 3), None, Form(3, 0)).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("values", "most"),
    [
        ([0.0, 1.0, -3.0], 3),
        ([0.0, 0.0], 0),
        ([1.0, 0.5], -1),
        ([float("nan"), 1.0], -1),
        ([float("inf")], -1),
        ([3e9], -1),
        ([32768.0], -1),
    ],
)
def test_events_are_counted_and_known_to_be_whole(values: list[float], most: int, dtype: torch.dtype) -> None:
    x = torch.zeros(2, 3, 40, 40, dtype=dtype)
    x[1, 1, 17, : len(values)] = torch.tensor(values, dtype=dtype)
    found = events_native.events_in(events_native.ready(), x.contiguous(memory_format=torch.channels_last))
    assert found.most == most
    assert found.share * x.numel() == pytest.approx(sum(value != 0 for value in values))


def test_what_is_not_covered() -> None:
    x, weight = images((2, 4, 6, 6)), whole(16, 4, 3, 3)
    assert events_native.fits(x, weight, Form(3, 1))
    assert not events_native.fits(x.double(), weight.double(), Form(3, 1))
    assert not events_native.fits(x, weight[:15], Form(3, 1))
    assert not events_native.fits(x, weight[:, :2], Form(3, 1))
    assert not events_native.fits(x, weight, Form(3, 3))
    assert not events_native.fits(x[:, :, :2], weight, Form(3, 1))
    assert not events_native.fits(x[:0], weight, Form(3, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not events_native.fits(x, weight, Form(3, 1))
        assert events_native.fits(x.bfloat16(), weight, Form(3, 1))
    with torch.autocast("cpu", dtype=torch.float16):
        assert not events_native.fits(x.half(), weight, Form(3, 1))


def test_only_large_calls_over_few_events_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def pays(x: Tensor, weight: Tensor) -> bool:
        return events_native.pays(x, weight, events_native.events_in(events_native.ready(), x))

    weight, few = whole(32, 16, 3, 3), images((128, 16, 8, 8), 0.1)
    assert pays(few, weight)
    assert not pays(few, weight[:16])
    assert not pays(few.bfloat16(), weight)
    assert not pays(images((128, 16, 8, 8), 0.4), weight)
    assert events_native.is_promising(few, weight)
    assert not events_native.is_promising(images((8, 16, 8, 8), 0.1), weight)
    assert not events_native.is_promising(few.bfloat16(), weight[:16])
    called = []
    monkeypatch.setattr(events_native, "conv2d", lambda *call: called.append(call[-1]))
    chosen(images((128, 16, 8, 8), 0.1), weight, padding=1)
    chosen(images((128, 16, 8, 8), 0.1), weight, stride=2, padding=1)
    assert called == [Form(3, 1)]


def test_a_network_goes_by_events_and_gives_the_same_spikes_where_sums_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, ran, run = build("squat-fmnist", time=8, decay=0.875, threshold=1.0).eval(), list[int](), events_native.run_forward
    for name in ("norm1", "norm2"):
        network.get_submodule(name).eps = 0.0  # type: ignore[assignment]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_((parameter * 256).round() / 256)
    monkeypatch.setattr(events_native, "run_forward", lambda *call: (ran.append(1), run(*call))[1])
    monkeypatch.setitem(events_native.DENSEST[torch.float32], 4, 1.0)
    x = torch.randint(0, 9, (16, 1, 28, 28)) / 8
    by_events = network.steps(x)
    assert ran
    monkeypatch.setitem(events_native.DENSEST[torch.float32], 4, 0.0)
    assert by_events.sum() > 0
    assert torch.equal(by_events, network.steps(x))
    assert len(ran) == 1
