"""Batch norm, neuron and max pool as one call against the reference, and against torch's own modules."""

import pytest
import torch
from torch import nn

from spikequant.models import build
from spikequant.models.fusing import chains
from spikequant.numerics import Dynamics, Norm, State, Table, Tail, affine, moments, norm, table
from spikequant.numerics.kernels import norm_native

FIELDS: dict[str, list] = {
    "reset": ["subtract", "value", "none"],
    "compare": [">=", ">"],
    "charge": ["scale", "relax", "relax_input", "shift", "shift_min1", "multiply_shift"],
    "detach_reset": [True, False],
    "compare_at": ["stored", "full"],
    "rounding": ["nearest_even", "half_up", "truncate"],
    "snapped": ["before_fire", "after_reset", "both"],
}
STATES: dict[str, State | None] = {
    "none": None,
    "affine": State(affine(-1.0, 1.0, 16)),
    "masked": State(affine(-1.0, 1.0, 16), gradient="mask"),
    "table": State(table(torch.linspace(-1, 1.5, 13) ** 3), gradient="mask"),
    "SpQuant": State(affine(-1.5, 0.5, 5), gradient="stacked", snapped="after_reset"),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
@pytest.mark.parametrize(("pool", "size"), [(1, (5, 7)), (2, (6, 4)), (2, (7, 5)), (3, (6, 10))])
@pytest.mark.parametrize("timing", ["now", "next"])
@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("dtype", norm_native.DTYPES, ids=["float32", "bfloat16"])
def test_spikes_are_equal_and_gradients_agree(
    state: State | None, pool: int, size: tuple[int, int], timing: str, still: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    current = (2 * torch.randn(1 if still else 4, 3, 8, *size)).to(dtype).requires_grad_()
    affine_parameters = [torch.rand(8) + 0.5, torch.randn(8) / 4]
    wide = current.detach().float()
    mean, inverse = wide.mean((0, 1, 3, 4)), wide.var((0, 1, 3, 4), unbiased=False).rsqrt()
    d = Dynamics(torch.rand(1, 8, 1, 1) / 2 + 0.5, decay=0.8, reset_timing=timing, detach_reset=False)  # type: ignore[arg-type]
    found = []
    for twin in (norm.norm_scan, norm_native.norm_scan):
        scale, shift = (each.clone().requires_grad_() for each in affine_parameters)
        spikes = twin(current, Norm(scale, shift, mean, inverse), d, state, 4 if still else None, Tail(pool))
        assert spikes.dtype == dtype
        weight = torch.linspace(-1, 1, spikes.numel()).reshape(spikes.shape).to(dtype)
        found.append((spikes, *torch.autograd.grad((spikes * weight).sum(), [current, scale, shift])))
    (spikes, *gradients), (twin_spikes, *twin_gradients) = found
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, twin_spikes)
    for gradient, twin_gradient in zip(gradients, twin_gradients, strict=True):
        step = 2**-7 if gradient.dtype == torch.bfloat16 else 2e-4  # the twin's is rounded twice, before and after batch norm
        torch.testing.assert_close(twin_gradient, gradient, atol=step * max(1, float(gradient.detach().abs().max()) / 4), rtol=5 * step)


@pytest.mark.parametrize("field", ["reset", "compare", "charge", "detach_reset", "compare_at", "rounding", "snapped"])
@pytest.mark.parametrize("dtype", norm_native.DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("still", [False, True])
def test_spikes_are_equal_in_every_choice(field: str, dtype: torch.dtype, still: bool) -> None:
    scales = Norm(torch.rand(5) + 0.5, torch.randn(5) / 4)
    for value in FIELDS[field]:
        for steps in (1, 3):
            current = (2 * torch.randn(1 if still else steps, 2, 5, 3, 7)).to(dtype)
            in_state = field in ("rounding", "snapped")
            state = State(affine(-1.0, 1.2, 16), **({field: value} if in_state else {}))
            d = Dynamics(torch.tensor(0.7), decay=0.9, tau=2.0, **({} if in_state else {field: value}))
            call = current, scales, d, state, steps if still else None
            assert norm_native.fits(current, d, state, Tail())
            assert torch.equal(norm.norm_scan(*call), norm_native.norm_scan(*call)), value


def test_rows_of_bfloat16_are_rounded_as_torch_rounds() -> None:
    """What is added to spikes leaves as bfloat16: 256 + 1 is a tie, and goes to the even neighbor."""
    branch = torch.tensor([255.0, 256.0, 258.0, 260.0]).bfloat16().reshape(1, 1, 1, 1, 4).requires_grad_()
    scales, d = Norm(torch.ones(1), torch.zeros(1)), Dynamics(torch.tensor(1.0))
    summed = norm_native.norm_scan(torch.ones(1, 1, 1, 1, 4).bfloat16(), scales, d, tail=Tail(plus=branch))
    assert summed.flatten().tolist() == [256.0, 256.0, 260.0, 260.0]


def test_a_branch_of_another_precision_is_not_covered() -> None:
    current, d = torch.randn(2, 1, 3, 5, 5), Dynamics(torch.tensor(1.0))
    assert not norm_native.fits(current.bfloat16(), d, None, Tail(plus=current))
    assert not norm_native.fits(current.double(), d, None, Tail())


def test_layers_in_bfloat16_run_their_chains_as_one() -> None:
    """Under autocast convolutions give bfloat16, and what follows them up to the next one stays so."""
    network, seen = build("digits").train(), []
    network.get_submodule("conv2").register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nodes = [node.name for node, _ in network.values(torch.rand(2, 1, 8, 8), fuse=True)]
    assert not {"norm1", "lif1", "norm2", "lif2"} & set(nodes)
    assert seen == [torch.bfloat16]


def test_moments_are_those_of_batch_norm() -> None:
    x = 3 + 2 * torch.randn(5, 7, 6, 9, 8)
    mean, variance = moments(x)
    torch.testing.assert_close(mean, x.mean((0, 1, 3, 4)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(variance, x.var((0, 1, 3, 4), unbiased=False), atol=1e-4, rtol=1e-5)


def test_a_network_runs_its_chains_as_one_and_keeps_torchs_statistics() -> None:
    fused, plain = build("digits"), build("digits")
    plain.chains = {}
    assert set(fused.chains) == {"norm1", "norm2"}
    x = torch.rand(6, 1, 8, 8)
    for _ in range(2):
        torch.testing.assert_close(fused.train()(x), plain.train()(x), atol=1e-5, rtol=1e-5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x), atol=1e-5, rtol=1e-5)


def test_a_watched_neuron_shows_all_its_spikes() -> None:
    network, shapes = build("digits").eval(), []
    handle = network.get_submodule("lif1").register_forward_hook(lambda module, inputs, spikes: shapes.append(tuple(spikes.shape)))
    network(torch.rand(2, 1, 8, 8))
    handle.remove()
    assert shapes == [(4, 2, 16, 8, 8)]


def test_batch_norm_without_running_moments_is_left_alone() -> None:
    network = build("digits")
    network.norm1 = nn.BatchNorm2d(16, track_running_stats=False)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert "norm1" in chains(network.wiring)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_sum_and_counts_come_with_the_spikes(state: State | None) -> None:
    current, branch = (2 * torch.randn(4, 3, 8, 6, 5)).requires_grad_(), torch.randint(0, 3, (4, 3, 8, 6, 5)).float().requires_grad_()
    scale, shift = torch.rand(8) + 0.5, torch.randn(8) / 4
    d = Dynamics(torch.tensor(0.8), "relax_input", tau=2.0, reset="value")
    found = []
    for twin in (norm.norm_scan, norm_native.norm_scan):
        tail = Tail(plus=branch, counts=torch.empty(3, 8))
        assert norm_native.fits(current, d, state, tail)
        summed = twin(current, Norm(scale, shift), d, state, None, tail)
        found.append((summed, tail.counts, *torch.autograd.grad((summed**2).sum(), [current, branch])))
    (summed, counts, *gradients), (twin_summed, twin_counts, *twin_gradients) = found
    assert torch.equal(summed, twin_summed)
    assert torch.equal(counts, (summed - branch).sum((0, 3, 4)))
    assert torch.equal(counts, twin_counts)
    for gradient, twin_gradient in zip(gradients, twin_gradients, strict=True):
        torch.testing.assert_close(twin_gradient, gradient, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
@pytest.mark.parametrize(("pool", "steps", "shape"), [(1, 7, (8, 6, 6)), (1, 4, (8, 6, 6)), (2, 3, (16, 4, 70)), (3, 5, (8, 6, 9))])
def test_counts_are_of_each_image_and_channel(state: State | None, pool: int, steps: int, shape: tuple[int, ...]) -> None:
    current, d = torch.randn(steps, 3, *shape), Dynamics(torch.tensor(0.8))
    for dynamics in (d, d._replace(compare_at="full")):  # by the quick loops, and not
        scales, found = Norm(torch.rand(shape[0]) + 0.5, torch.randn(shape[0]) / 4), []
        for twin in (norm.norm_scan, norm_native.norm_scan):
            tail = Tail(pool, counts=torch.empty(3, shape[0]))
            assert norm_native.fits(current, dynamics, state, tail)
            twin(current, scales, dynamics, state, None, tail)
            found.append(tail.counts)
        assert found[0].unique().numel() > 5
        assert torch.equal(*found)


def test_neurons_that_no_window_covers_are_not_left_uncounted() -> None:
    current, d = torch.randn(2, 1, 3, 5, 5), Dynamics(torch.tensor(1.0))
    assert norm_native.fits(current, d, None, Tail(2))
    assert not norm_native.fits(current, d, None, Tail(2, counts=torch.empty(1, 3)))


@pytest.mark.parametrize("name", ["threshold", "levels"])
def test_no_backward_goes_by_what_was_changed_after_the_spikes(name: str) -> None:
    lent = {"threshold": torch.tensor(0.7), "levels": torch.linspace(-1, 1, 9)}
    current = torch.ones(3, 2, 8, 4, 4, requires_grad=True)
    spikes = norm_native.norm_scan(current, Norm(torch.ones(8), torch.zeros(8)), Dynamics(lent["threshold"]), State(Table(lent["levels"])))
    lent[name].mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()
