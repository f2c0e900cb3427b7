import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikequant.behavior.compare import compare
from spikequant.behavior.emd import emd
from spikequant.behavior.recorder import record
from spikequant.errors import MismatchError, SpecError
from spikequant.models import build
from spikequant.neurons import IF

LABELS = torch.zeros(8, dtype=torch.int64)


def test_a_network_equals_itself(dense, batches) -> None:
    model = dense(0)
    drift = compare(model, model, batches())
    assert (drift.emd, drift.emd_interval, drift.matched_shift, drift.agreement) == (0, (0, 0), 0, 1)
    assert [(layer.emd, layer.first_difference, layer.died, layer.revived) for layer in drift.layers] == [(0, None, (), ())] * 2
    assert drift.emd_floor > 0


def test_numbers_are_those_of_the_recorded_rates(dense, batches) -> None:
    loader = batches()
    drift = compare(dense(0), dense(1), loader)
    reference, network = record(dense(0), loader), record(dense(1), loader)
    for layer, before, after in zip(drift.layers, reference.layers, network.layers, strict=True):
        assert layer.emd == pytest.approx(emd(before.rates, after.rates), abs=1e-15)
        assert layer.rates == tuple(after.rates)
        assert layer.reference.rates == tuple(before.rates)
    assert (drift.mean_rate, drift.reference_mean_rate, drift.images) == (network.mean_rate, reference.mean_rate, 64)
    assert (drift.dead, drift.reference_dead) == (network.dead(), reference.dead())


class Flip(nn.Module):
    """Turns one input spike at one time step, then fires it."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.neuron = step, IF()

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[self.step, 3, 1] = 1 - x[self.step, 3, 1]
        return self.neuron(x)


class Straight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.neuron = IF()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x)


@pytest.mark.parametrize("step", range(5))
def test_finds_the_step_at_which_spikes_part(step: int) -> None:
    x = (torch.rand(5, 8, 4, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    layer = compare(Straight(), Flip(step), [(x, LABELS)]).layers[0]
    assert layer.first_difference == step
    assert layer.agreement == 1 - 1 / 160


class Masked(nn.Module):
    """Lets only some channels fire."""

    def __init__(self, *channels: float) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor(channels))
        self.neuron = IF()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x * self.mask)


def test_names_the_channels_that_died_and_revived() -> None:
    loader = [(torch.ones(4, 8, 4), LABELS)]
    drift = compare(Masked(1, 1, 0, 0), Masked(1, 0, 1, 0), loader)
    layer = drift.layers[0]
    assert (layer.died, layer.revived) == ((1,), (2,))
    assert (layer.emd, layer.matched_shift) == (0, 0.5)
    assert (layer.dead, layer.silent, layer.saturated, layer.reference.saturated) == (0.5, 0.5, 0.5, 0.5)


def test_bounds_are_the_callers() -> None:
    loader = [(torch.tensor([1.0, 0, 0, 0]).reshape(4, 1, 1).expand(4, 8, 2), LABELS)]
    drift = compare(Masked(1, 1), Masked(1, 0), loader, dead_below=0.3, saturated_above=0.2)
    assert (drift.reference_dead, drift.dead, drift.reference_saturated, drift.saturated) == (1, 1, 1, 0.5)
    assert drift.layers[0].died == ()
    assert (drift.dead_below, drift.saturated_above) == (0.3, 0.2)


def test_all_networks_see_the_same_batches_of_a_shuffled_loader(dense, batches) -> None:
    class Shuffled:
        def __init__(self) -> None:
            self.passes = 0

        def __iter__(self):
            self.passes += 1
            return iter(batches(count=3, seed=self.passes))

    loader = Shuffled()
    assert compare(dense(0), dense(0), loader, twins=[dense(0)]).agreement == 1
    assert loader.passes == 1


class Drawn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.rand(4, *x.shape) < x).float()


def test_both_networks_draw_the_same_encoding() -> None:
    loader = [(torch.full((8, 20), 0.5), LABELS)] * 3
    assert compare(nn.Sequential(Drawn(), IF()), nn.Sequential(Drawn(), IF()), loader).agreement == 1


def test_sampling_floor_shrinks_with_images_seen(dense, batches) -> None:
    loader = batches(count=40)
    few, many = (compare(dense(0), dense(1), loader, batches=count).emd_floor for count in (2, 40))
    assert 0 < many < few / 2


def test_pooled_takes_all_channels_as_one_set(dense, batches) -> None:
    drift = compare(dense(0), dense(1), batches(), pooled=True)
    before = [rate for layer in drift.layers for rate in layer.reference.rates]
    after = [rate for layer in drift.layers for rate in layer.rates]
    assert (drift.emd, drift.mean_rate) == pytest.approx((emd(before, after), np.mean(after)))
    assert drift.reference_mean_rate == pytest.approx(np.mean(before))
    assert drift.emd_floor != compare(dense(0), dense(1), batches()).emd_floor


def test_training_floor_comes_with_twins_only(dense, batches) -> None:
    loader = batches()
    alone, beside = compare(dense(0), dense(1), loader), compare(dense(0), dense(1), loader, twins=[dense(2), dense(3)])
    assert alone.training_floor is None
    floor = beside.training_floor
    assert floor is not None
    rates = [[layer.rates for layer in record(dense(seed), loader).layers] for seed in (0, 2, 3)]
    pairs = [np.mean([emd(a, b) for a, b in zip(rates[i], rates[j], strict=True)]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert (floor.emd, floor.pairs) == (pytest.approx(np.mean(pairs)), 3)
    assert floor.excess == pytest.approx(beside.emd - floor.emd)
    assert floor.excess_interval[0] <= floor.excess <= floor.excess_interval[1]
    assert beside.emd_floor == alone.emd_floor


def test_layers_by_order_where_names_differ(dense, batches) -> None:
    moved = nn.Sequential(nn.Identity(), *dense(0))
    drift = compare(dense(0), moved, batches())
    assert [layer.name for layer in drift.layers] == ["2", "4"]
    assert drift.agreement == 1


def test_other_channel_counts_have_an_emd_and_no_agreement(dense, batches) -> None:
    drift = compare(dense(0), dense(0, outputs=7), batches())
    assert (drift.layers[0].agreement, drift.layers[1].agreement, drift.agreement) == (1, None, None)
    assert (drift.layers[1].matched_shift, drift.matched_shift) == (None, None)
    assert drift.layers[1].emd > 0


def test_refuses_networks_whose_layers_cannot_be_matched(dense, relay, batches) -> None:
    with pytest.raises(MismatchError, match="the network has 1 spiking layers, the reference 2"):
        compare(dense(0), relay(1), batches())
    with pytest.raises(MismatchError, match=r"twins\[0\] has 7 channels in layer '3', the reference 6"):
        compare(dense(0), dense(1), batches(), twins=[dense(2, outputs=7)])


def test_refuses_what_gives_no_floor(dense, batches) -> None:
    with pytest.raises(SpecError, match="at least 2 images, got 1"):
        compare(dense(0), dense(1), batches(count=1, images=1))
    with pytest.raises(SpecError, match="resamples must be at least 1, got 0"):
        compare(dense(0), dense(1), batches(), resamples=0)
    with pytest.raises(SpecError, match="seed must be at least 0, got -1"):
        compare(dense(0), dense(1), batches(), seed=-1)


def test_a_seed_gives_the_same_record_again(dense, batches) -> None:
    assert compare(dense(0), dense(1), batches(), seed=1) == compare(dense(0), dense(1), batches(), seed=1)
    assert compare(dense(0), dense(1), batches(), seed=1).emd_floor != compare(dense(0), dense(1), batches(), seed=2).emd_floor


def test_compares_networks_of_ours() -> None:
    reference, network = build("digits", seed=0), build("digits", seed=1)
    generator = torch.Generator().manual_seed(0)
    loader = [(20 * torch.rand(8, 1, 8, 8, generator=generator), LABELS) for _ in range(2)]  # bright enough for networks that never learned
    drift = compare(reference, network, loader, pooled=True)
    assert [(layer.name, layer.channels) for layer in drift.layers] == [("lif1", 16), ("lif2", 32)]
    assert 0 < drift.emd < 1
    assert drift.pooled
