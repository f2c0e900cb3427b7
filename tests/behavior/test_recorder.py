import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikequant.behavior.recorder import CHUNK, Recorder, count, pairs, record
from spikequant.errors import MismatchError, SpecError
from spikequant.models import build
from spikequant.neurons import IF

LABELS = torch.zeros(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.bool])
@pytest.mark.parametrize("space", [(), (5,), (6, 7)])
def test_counts_every_spike(dtype: torch.dtype, space: tuple[int, ...]) -> None:
    spikes = torch.rand(4, 20, 3, *space, generator=torch.Generator().manual_seed(0)) < 0.3
    layer = count("a", spikes.to(dtype))
    expected = spikes.numpy().sum(axis=(0, 1, *range(3, spikes.ndim)))
    assert layer.counts.dtype == np.int64
    assert layer.counts.sum(axis=0).tolist() == expected.tolist()
    assert layer.rates.tolist() == pytest.approx(spikes.double().numpy().mean(axis=(0, 1, *range(3, spikes.ndim))).tolist())
    assert (layer.images, layer.steps, layer.channels) == (20, 4, 3)


def test_counts_beyond_what_float16_holds() -> None:
    assert count("a", torch.ones(2, 1, 1, 300, 300, dtype=torch.bfloat16)).counts.tolist() == [[180_000]]


@pytest.mark.parametrize(("images", "chunks"), [(1, [1]), (2, [1, 1]), (CHUNK, [4, 4]), (20, [7, 7, 6]), (32, [8, 8, 8, 8])])
def test_chunks_are_few_images_of_one_batch(images: int, chunks: list[int]) -> None:
    spikes = torch.zeros(3, images, 1, 5)
    spikes[:, 0] = 1
    layer = count("a", spikes)
    assert layer.sites.tolist() == [15 * size for size in chunks]
    assert layer.counts[:, 0].tolist() == [15] + [0] * (len(chunks) - 1)


def test_memory_layout_does_not_matter() -> None:
    spikes = (torch.rand(2, 3, 4, 5, 6) < 0.5).float()
    last = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    assert np.array_equal(count("a", spikes).counts, count("a", last).counts)


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan")])
def test_refuses_what_is_no_spike(value: float) -> None:
    spikes = torch.zeros(1, 2, 3)
    spikes[0, 1, 2] = value
    with pytest.raises(MismatchError, match="'a' gave spikes that are not 0 or 1"):
        count("a", spikes)


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 2, 0), (2, 3)])
def test_nothing_is_an_error_and_never_zero(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"'a' gave spikes of shape"):
        count("a", torch.zeros(shape))


def test_record_joins_batches(relay) -> None:
    one, none = torch.ones(4, 2, 3), torch.zeros(4, 1, 3)
    firing = record(relay(2), [(one, LABELS), (none, LABELS)])
    assert [layer.name for layer in firing.layers] == ["0", "1"]
    assert firing.images == 3
    assert firing.layers[1].rates.tolist() == pytest.approx([2 / 3] * 3)


def test_record_reads_no_more_than_the_batches_asked_for(relay, batches) -> None:
    served = iter([(x.round(), y) for x, y in batches(count=5)])
    assert record(relay(), served, batches=2).images == 32
    assert len(list(served)) == 3


def test_a_short_loader_is_taken_as_it_is(relay, batches) -> None:
    assert record(relay(), [(x.round(), y) for x, y in batches(count=3)], batches=20).images == 48


def test_refuses_no_batch(relay) -> None:
    with pytest.raises(SpecError, match="loader gave no batch"):
        record(relay(), [])
    with pytest.raises(SpecError, match="batches must be at least 1, got 0"):
        record(relay(), [(torch.ones(1, 1, 1), LABELS)], batches=0)


class Detour(nn.Module):
    """Runs its second neuron as often as it is told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.first, self.second, self.times = IF(), IF(), times

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(self.times):
            x = self.second(x)
        return x


@pytest.mark.parametrize("times", [0, 2])
def test_a_layer_must_run_once_a_batch(times: int) -> None:
    with pytest.raises(MismatchError, match=f"layer 'second' ran {times} times in batch 1"):
        record(Detour(times), [(torch.ones(2, 2, 2), LABELS)])


def test_refuses_a_network_without_neurons() -> None:
    with pytest.raises(MismatchError, match="no spiking neuron"):
        record(nn.Linear(2, 2), [(torch.ones(2, 2, 2), LABELS)])


class Probe(nn.Module):
    """Notes in which mode it runs; fails when told."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails, self.seen = fails, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, torch.is_grad_enabled()))
        if self.fails:
            raise RuntimeError("told to")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_watches_in_evaluation_and_gives_every_mode_back(fails: bool) -> None:
    model = nn.Sequential(Probe(fails), nn.Dropout(), IF())
    model.train()
    model[1].eval()
    try:
        record(model, [(torch.ones(1, 1, 1), LABELS)])
    except RuntimeError:
        assert fails
    assert model[0].seen == [(False, False)]
    assert [module.training for module in (model, *model)] == [True, True, False, True]
    assert not model[2]._forward_hooks


class Drawn(nn.Module):
    """Rate coding: spikes with the pixel's probability."""

    def forward(self, x: Tensor) -> Tensor:
        return (torch.rand(4, *x.shape) < x).float()


def test_what_the_model_draws_is_fixed_by_the_seed_and_leaves_no_trace() -> None:
    model, loader = nn.Sequential(Drawn(), IF()), [(torch.full((8, 50), 0.5), LABELS)] * 2
    state = torch.get_rng_state()
    once, again, other = record(model, loader), record(model, loader), record(model, loader, seed=7)
    assert np.array_equal(once.layers[0].counts, again.layers[0].counts)
    assert not np.array_equal(once.layers[0].counts, other.layers[0].counts)
    assert not np.array_equal(once.layers[0].counts[:2], once.layers[0].counts[2:])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_second_listener_hears_the_same_spikes(relay) -> None:
    heard = []
    recorder = Recorder(relay())
    recorder.run(torch.ones(2, 3, 4), 0, lambda name, spikes: heard.append((name, tuple(spikes.shape))))
    assert heard == [("0", (2, 3, 4))]
    assert recorder.firing().layers[0].rates.tolist() == [1] * 4


def test_counts_of_the_fused_network_are_those_of_its_spikes() -> None:
    torch.manual_seed(0)
    model, x = build("squat-fmnist", time=3, threshold=0.5), torch.rand(9, 1, 28, 28)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0  # fused or not, normalizing then changes no bit
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter * 64).round() / 64)
    by_counts, by_spikes = Recorder(model.eval()), Recorder(model.eval())
    with torch.no_grad():
        by_counts.run((x * 16).round() / 16, 0)
        by_spikes.run((x * 16).round() / 16, 0, lambda name, spikes: None)
    for one, other in zip(by_counts.firing().layers, by_spikes.firing().layers, strict=True):
        assert one.counts.sum() > 0
        assert np.array_equal(one.counts, other.counts)


@pytest.mark.parametrize(
    ("loader", "told"),
    [
        ((torch.ones(4, 2, 3), torch.zeros(2)), "got Tensor; take Batches"),
        ([(torch.ones(4, 2, 3), torch.zeros(2), 1)], "got Tensor, Tensor, int;"),
        ([(np.ones((4, 2, 3)), torch.zeros(2))], "got ndarray, Tensor;"),
        ([(torch.ones(4, 2, 3), [0, 0])], "got Tensor, list;"),
    ],
)
def test_what_is_no_batch_is_told(loader: object, told: str) -> None:
    with pytest.raises(MismatchError, match=told):
        list(pairs(loader))


def test_who_only_watches_takes_any_labels(relay) -> None:
    assert record(relay(), [(torch.ones(4, 2, 3), ["a", "b"])]).images == 2
