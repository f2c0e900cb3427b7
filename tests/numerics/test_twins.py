from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from spikequant.errors import MismatchError
from spikequant.numerics import (
    Competition,
    Dynamics,
    Format,
    Formats,
    Grid,
    Learned,
    Norm,
    Plasticity,
    Ranging,
    State,
    Stream,
    Tail,
    affine,
    charged,
    compact,
    conv2d,
    fit_basis,
    fit_levels,
    integers,
    lif_scan,
    mixed,
    moments,
    norm_scan,
    norm_scan_fits,
    present,
    scan,
    snap,
    start_basis,
    table,
    uniform,
)
from spikequant.numerics.charging import charged as charged_reference
from spikequant.numerics.kernels import lif_native, norm_native

D = Dynamics(torch.tensor(1.0), decay=0.9)


def test_a_call_that_fits_goes_to_the_twin_and_another_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(lif_native, "lif_scan", lambda *given: calls.append("twin") or scan.lif_scan(*given[:4], steps=given[4]))
    monkeypatch.setattr(lif_native, "fits", lambda current, *rest: current.dtype == torch.float32)
    lif_scan(torch.ones(2, 1, 3), D)
    lif_scan(torch.ones(2, 1, 3, dtype=torch.float64), D)
    assert calls == ["twin"]


def test_stochastic_states_run_as_the_reference() -> None:
    state = State(affine(-1.0, 1.0, 16), "stochastic")
    spikes, _ = lif_scan(torch.ones(2, 1, 3), D, state, noise=lambda step, like: torch.zeros_like(like))
    assert spikes.shape == (2, 1, 3)


def test_norm_scan_without_a_twin_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm_native, "fits", lambda *given: False)
    current = torch.ones(1, 1, 1, 2, 2)
    assert not norm_scan_fits(current, D, None, Tail(2))
    assert norm_scan(current, Norm(torch.ones(1), torch.zeros(1)), D, tail=Tail(2)).flatten().tolist() == [1.0]


@pytest.mark.skipif(lif_native.library() is None, reason="moments are the C library's")
def test_moments_do_not_depend_on_the_number_of_threads() -> None:
    x, before = torch.randn(4, 5, 3, 30, 30), torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(torch.stack(moments(x)))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("channels", [3, 4096])
@pytest.mark.parametrize("without_c", [False, True])
def test_moments_are_those_of_every_type_and_number_of_channels(
    dtype: torch.dtype, channels: int, without_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without_c:
        monkeypatch.setattr(norm_native, "library", lambda: None)
    x = torch.randn(2, 3, channels, 2, 2).to(dtype)
    mean, variance = moments(x)
    assert mean.dtype == variance.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(mean.double(), x.double().mean((0, 1, 3, 4)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(variance.double(), x.double().var((0, 1, 3, 4), correction=0), rtol=1e-5, atol=1e-6)


def test_a_norm_and_a_branch_that_are_broadcast_run_as_the_reference() -> None:
    current = 2 * torch.randn(3, 2, 4, 5, 5)
    one, plus, counts = Norm(torch.ones(1), torch.zeros(1)), torch.ones(1, 2, 4, 5, 5), torch.empty(2, 4)
    expected = norm_scan(current, Norm(torch.ones(4), torch.zeros(4)), D, tail=Tail(counts=counts))
    assert torch.equal(norm_scan(current, one, D), expected)
    assert torch.equal(norm_scan(current, one, D, tail=Tail(plus=plus)), expected + 1)
    assert torch.equal(counts, expected.sum((0, 3, 4)))


@pytest.mark.parametrize(
    ("norm", "steps", "tail"),
    [
        (Norm(torch.ones(3), torch.zeros(3)), None, Tail()),
        (Norm(torch.ones(4), torch.zeros(4)), 4, Tail()),
        (Norm(torch.ones(4), torch.zeros(4)), None, Tail(plus=torch.ones(2, 2, 4, 5, 5))),
        (Norm(torch.ones(4), torch.zeros(4)), None, Tail(counts=torch.empty(1, 3))),
    ],
)
def test_what_does_not_fit_the_images_is_refused(norm: Norm, steps: int | None, tail: Tail) -> None:
    with pytest.raises((RuntimeError, MismatchError)):
        norm_scan(torch.randn(3, 2, 4, 5, 5), norm, D, steps=steps, tail=tail)


def test_sparse_convolutions_take_no_bias_that_is_not_of_their_channels_and_type() -> None:
    x, weight = (torch.rand(4, 16, 32, 32) < 0.05).float(), torch.randn(64, 16, 3, 3)
    for bias in (torch.zeros(1), torch.zeros(64, dtype=torch.float64)):
        with pytest.raises(RuntimeError, match="bias"):
            conv2d(x, weight, bias, padding=1)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 7, 8, 12])
@pytest.mark.parametrize("last", [False, True])
def test_strided_convolutions_of_few_channels_have_the_right_gradients(channels: int, last: bool) -> None:
    """oneDNN on AVX2 gave wrong ones, or overwrote memory (uxlfoundation/oneDNN#6035)."""
    x, weight = torch.randn(8, channels, 32, 32), torch.randn(16, channels, 1, 1)
    found = []
    for dtype in (torch.float32, torch.float64):
        images = x.to(dtype).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        leaves = [images.requires_grad_(), weight.to(dtype).requires_grad_()]
        y = conv2d(leaves[0], leaves[1], stride=2)
        assert y.shape == (8, 16, 16, 16)
        found.append([each.double() for each in (y, *torch.autograd.grad((y * y).sum(), leaves))])
    for ours, exact in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_currents_give_spikes_of_their_dtype_from_float32_membranes(dtype: torch.dtype) -> None:
    current = (0.8 * torch.randn(4, 3, 5)).to(dtype)
    d, counts = Dynamics(torch.tensor(1.0), decay=torch.tensor(0.9)), torch.empty(3, 5)
    spikes, last = lif_scan(current, d, counts=counts)
    expected, expected_last = scan.lif_scan(current.float(), d)
    assert spikes.dtype == dtype
    assert torch.equal(spikes.float(), expected)
    assert torch.equal(last, expected_last)
    assert torch.equal(counts, expected.sum(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int64])
@pytest.mark.parametrize("of_current", [torch.float32, torch.bfloat16])
def test_a_start_of_another_type_is_the_same_membrane(dtype: torch.dtype, of_current: torch.dtype) -> None:
    start = torch.full((2, 3), 4, dtype=dtype, requires_grad=dtype.is_floating_point)
    _, last = lif_scan(torch.zeros(1, 2, 3, dtype=of_current), D._replace(threshold=torch.tensor(9.0)), start=start)
    assert torch.equal(last, torch.full((2, 3), 4 * 0.9))
    if start.requires_grad:
        (gradient,) = torch.autograd.grad(last.sum(), start)
        assert torch.equal(gradient, torch.full((2, 3), 0.9, dtype=torch.float32).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_more_spikes_are_counted_than_half_precision_tells_apart(dtype: torch.dtype) -> None:
    counts = torch.empty(1, 1)
    lif_scan(torch.full((1, 1, 1), 2.0, dtype=dtype), D, steps=2051, counts=counts)
    assert counts.item() == 2051


@pytest.mark.parametrize("timing", ["now", "next", "now_once"])
@pytest.mark.parametrize("grid", [None, affine(-1.0, 1.2, 16), table(torch.tensor([-0.5, 0.0, 0.4, 1.0]))])
@pytest.mark.parametrize("last", [False, True])
def test_charged_membranes_are_the_references(timing: Any, grid: Grid | None, last: bool) -> None:
    current = torch.randn(4, 3, 5, 6, 7)
    if last:
        current = current.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    d, state = Dynamics(torch.tensor(1.0), decay=torch.tensor(0.8), reset_timing=timing), None if grid is None else State(grid)
    start = torch.rand(3, 5, 6, 7)
    for found, expected in zip(charged(current, d, state, start), charged_reference(current, d, state, start), strict=True):
        assert torch.equal(found, expected)


X = torch.arange(4 * 2 * 8 * 6 * 6, dtype=torch.float32).reshape(4, 2, 8, 6, 6).sin()
SPARSE, KERNEL = (torch.arange(64 * 64 * 256).reshape(64, 64, 16, 16) % 17 == 0).float(), torch.ones(64, 64, 3, 3)
NORM = Norm(torch.ones(8), torch.zeros(8))
LEVELS, BASIS, PLACES, FROZEN = table(torch.linspace(-1, 1, 5)), start_basis(2, 9, 32), torch.arange(9), X[0] > 0
FOLLOWING = State(Ranging(lambda low, high, axis: table(torch.stack([low, high])), "step_batch"))
LEARNED, CHANCES, HALVES = Learned(torch.ones(3, 2), torch.zeros(2)), torch.ones(2, 3), Format(integers(0.5, -256, 512), "stochastic")
TWINS: dict[str, Callable[[], Tensor | None]] = {
    "snap": lambda: snap(LEVELS, X),
    "fit_basis": lambda: fit_basis(X.reshape(32, -1), BASIS),
    "fit_levels": lambda: fit_levels(X, LEVELS.levels, torch.zeros(5, dtype=torch.bool, device="cpu")),
    "lif_scan": lambda: lif_scan(X, D, State(LEVELS))[0],
    "lif_scan following": lambda: lif_scan(X, D, FOLLOWING)[0],
    "norm_scan": lambda: norm_scan(X, NORM, D, tail=Tail(2)),
    "norm_scan following": lambda: norm_scan(X, NORM, D, FOLLOWING, tail=Tail(2)),
    "moments": lambda: moments(X)[1],
    "conv2d": lambda: conv2d(SPARSE, KERNEL, padding=1),
    "mixed": lambda: mixed(X, X.sign(), FROZEN),
    "compact": lambda: compact(X.sign().abs()),
    "uniform": lambda: uniform(0, 1, 2, PLACES),
    "present": lambda: present(CHANCES, LEARNED, Competition(), stream=Stream(9), watch=True).extremes,
    "present learning": lambda: present(CHANCES, LEARNED, Competition(), Plasticity(), Formats(HALVES, HALVES), Stream(9)).learned.weight,
}


@pytest.mark.skipif(lif_native.library() is None, reason="the twins are the C library's")
@pytest.mark.parametrize("name", TWINS)
def test_neither_torchs_default_device_nor_its_default_type_reaches_a_twin(name: str) -> None:
    """C is given places in memory: an output of another device has none, one of another type is too small."""
    expected = TWINS[name]()
    with torch.device("meta"):
        elsewhere = TWINS[name]()
    for dtype in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(dtype)
        try:
            found = TWINS[name]()
        finally:
            torch.set_default_dtype(torch.float32)
        assert torch.equal(found, expected)
    assert torch.equal(elsewhere, expected)
