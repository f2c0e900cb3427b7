import math

import pytest
import torch
from torch import Tensor, nn

from spikequant.behavior.temporal import Timing, Trains, timing
from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import IF


def trains(*neurons: str) -> Tensor:
    """``[time, batch 1, neuron]`` from one text of 0 and 1 for each neuron."""
    return torch.tensor([[int(bit) for bit in text] for text in neurons]).T.unsqueeze(1).bool()


def compared(ours: Tensor, theirs: Tensor, tau_steps: float = 2.0) -> Trains:
    found = Trains(tau_steps)
    found.add("a", ours, theirs)
    return found


def test_the_timing_emd_is_how_far_spikes_moved() -> None:
    assert compared(trains("1000", "0110"), trains("0001", "0110")).timing_emd == 1.5  # three steps, and none
    assert compared(trains("1100"), trains("0100")).timing_emd == 0.5  # half of the spikes came one step later
    assert compared(trains("1000", "0001"), trains("0000", "0010")).timing_emd == 1.0  # the first is silent in one
    assert compared(trains("1000"), trains("0000")).timing_emd is None


def test_the_van_rossum_distance_of_one_spike_more() -> None:
    keep = math.exp(-1)
    found = compared(trains("1000", "0101"), trains("0000", "0101"), tau_steps=1.0)
    assert found.distance == pytest.approx(math.sqrt(1 + keep**2 + keep**4 + keep**6))
    assert found.trains == 2
    moved = [compared(trains("10000000"), trains(text)).distance for text in ("10000000", "01000000", "00010000")]
    assert moved == sorted(moved)
    assert moved[0] == 0


def test_errors_are_counted_step_by_step() -> None:
    assert compared(trains("1000", "0110"), trains("1001", "0101")).errors == [0.0, 0.0, 0.5, 1.0]


def test_equal_networks_fire_at_the_same_time() -> None:
    images = [(torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(4))] * 2
    found = timing(nn.Sequential(IF()), nn.Sequential(IF()), images)
    assert (found.timing_emd, found.van_rossum, found.errors, found.error_growth) == (0.0, 0.0, (0.0,) * 5, 0.0)
    assert found.latency == found.latency_reference


def test_a_higher_threshold_fires_later_at_half_the_rate() -> None:
    found = timing(nn.Sequential(IF(1.0)), nn.Sequential(IF(2.0)), [(torch.ones(4, 2, 3), torch.zeros(2))])
    assert (found.latency_reference, found.latency) == (0.0, 1.0)
    assert found.errors == (1.0, 0.0, 1.0, 0.0)
    assert found.timing_emd == 0.5  # shares 1/4 each beside 1/2 at steps 1 and 3


def test_two_layers_count_alike() -> None:
    images = [(torch.ones(4, 2, 3), torch.zeros(2))]
    found = timing(nn.Sequential(IF(1.0), IF(1.0)), nn.Sequential(IF(1.0), IF(2.0)), images)
    assert found.errors == (0.5, 0.0, 0.5, 0.0)
    assert found.timing_emd == 0.25


def test_growth_is_a_slope() -> None:
    assert Timing(None, 0.0, None, None, (0.1,)).error_growth == 0
    assert Timing(None, 0.0, None, None, (0.0, 0.1, 0.1, 0.2)).error_growth == pytest.approx(0.06)


def test_what_cannot_be_compared_is_refused() -> None:
    images = [(torch.ones(4, 2, 3), torch.zeros(2))]
    for tau in (0, math.nan, math.inf):
        with pytest.raises(SpecError, match="tau_steps must be above 0"):
            timing(nn.Sequential(IF()), nn.Sequential(IF()), images, tau_steps=tau)
    with pytest.raises(MismatchError, match="time cannot be compared"):
        timing(nn.Sequential(IF()), nn.Sequential(nn.Unflatten(2, (1, 3)), nn.Flatten(2), nn.ConstantPad1d(1, 0.0), IF()), images)


class Drawing(nn.Sequential):
    """A network that draws its own input spikes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((torch.rand(x.shape) < x).float())


def test_what_networks_draw_is_the_same_for_both_and_leaves_no_trace() -> None:
    network, images = Drawing(IF()), [(torch.full((4, 8, 3), 0.5), torch.zeros(8))] * 2
    before = torch.random.get_rng_state()
    assert timing(network, network, images).errors == (0.0,) * 4
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batches_may_differ_in_length() -> None:
    """Spikes come in the second step beside the third, which the first batch has not."""
    loader = [(torch.full((steps, 1, 1), 0.5), torch.zeros(1)) for steps in (2, 3)]
    found = timing(nn.Sequential(IF(1.0)), nn.Sequential(IF(1.5)), loader)
    assert found.errors == (0.0, 1.0, 1.0)
