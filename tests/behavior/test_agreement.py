import pytest
import torch

from spikequant.behavior.agreement import Agreement, Tally


def spikes(*flips: tuple[int, ...]) -> torch.Tensor:
    """All zero but for these places of ``[time 4, batch 2, channel 5]``."""
    bits = torch.zeros(4, 2, 5)
    for place in flips:
        bits[place] = 1
    return bits


def compared(reference: torch.Tensor, *networks: torch.Tensor) -> Tally | None:
    agreement = Agreement({"a": "b"})
    for network in networks:
        agreement.hold("a", reference)
        agreement.check("b", network)
    return agreement.layers["a"]


def test_equal_spikes_agree_wholly() -> None:
    tally = compared(spikes((1, 1, 1)), spikes((1, 1, 1)))
    assert tally is not None
    assert (tally.share, tally.first_difference) == (1.0, None)


@pytest.mark.parametrize("step", range(4))
def test_a_difference_is_found_at_its_step(step: int) -> None:
    tally = compared(spikes(), spikes((step, 1, 2), (3, 0, 0)))
    assert tally is not None
    assert (tally.share, tally.first_difference) == (1 - 2 / 40, step)


def test_the_first_step_over_all_batches_and_missing_spikes_count_too() -> None:
    reference = spikes((1, 0, 0), (2, 0, 0))
    tally = compared(reference, spikes((1, 0, 0)), spikes((2, 0, 0)), spikes((1, 0, 0)), reference)
    assert tally is not None
    assert (tally.bits, tally.differing, tally.first_difference) == (160, 3, 1)
    assert tally.disagreement == (0.0, 1 / 40, 2 / 40, 0.0)


def test_other_shapes_have_no_agreement() -> None:
    assert compared(spikes(), spikes()[:2], spikes()) is None


def test_half_precision_is_read_as_bits() -> None:
    tally = compared(spikes((0, 0, 0)), spikes((0, 0, 0)).bfloat16())
    assert tally is not None
    assert tally.share == 1
