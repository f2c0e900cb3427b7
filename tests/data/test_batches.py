import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Generator

from spikequant.data.batches import Batches, crop_and_flip, hold_out
from spikequant.data.dataset import Split
from spikequant.data.digits import digits
from spikequant.errors import SpecError


def numbered(count: int, classes: int = 10) -> Split:
    """Samples of one pixel that is their number."""
    number = torch.arange(count)
    return Split(number.to(torch.uint8).reshape(-1, 1, 1, 1), number % classes)


def order(batches: Batches) -> list[int]:
    return [round(value) for x, _ in batches for value in (x * batches.scale).flatten().tolist()]


def test_without_a_seed_the_batches_come_in_order_and_scaled():
    batches = Batches(numbered(5), batch_size=2, scale=4.0)
    assert len(batches) == 3
    pairs = [(x.flatten().tolist(), y.tolist()) for x, y in batches]
    assert pairs == [([0.0, 0.25], [0, 1]), ([0.5, 0.75], [2, 3]), ([1.0], [4])]
    x, y = next(iter(batches))
    assert (x.dtype, y.dtype, x.shape) == (torch.float32, torch.int64, (2, 1, 1, 1))


@given(count=st.integers(1, 60), size=st.integers(1, 70), seed=st.integers(0, 2**70), epoch=st.integers(0, 1000))
def test_a_shuffled_pass_shows_every_sample_once_with_its_label(count, size, seed, epoch):
    batches = Batches(numbered(count), size, 255.0, seed)
    batches.set_epoch(epoch)
    passed = list(batches)
    assert len(passed) == len(batches)
    assert [len(y) for _, y in passed[:-1]] == [size] * (len(passed) - 1)
    assert sorted(order(batches)) == list(range(count))
    assert [number % 10 for number in order(batches)] == torch.cat([y for _, y in passed]).tolist()


def test_seed_and_epoch_alone_decide_the_order():
    def of(seed, epoch):
        batches = Batches(numbered(50), 7, 255.0, seed)
        batches.set_epoch(epoch)
        return order(batches)

    assert of(3, 2) == of(3, 2)
    orders = [of(seed, epoch) for seed in range(4) for epoch in range(4)]
    assert len({tuple(one) for one in orders}) == 16
    assert list(range(50)) not in orders


def test_a_pass_neither_reads_nor_moves_the_global_generator():
    before = torch.get_rng_state()
    list(Batches(numbered(20), 4, 255.0, seed=0, augment=crop_and_flip(1)))
    hold_out(numbered(20), 0.5, seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_a_pass_left_early_does_not_change_the_next():
    batches = Batches(numbered(20), 4, 255.0, seed=0, augment=lambda x, generator: x + torch.rand(1, generator=generator))
    whole = [x for x, _ in batches]
    next(iter(batches))
    assert all(torch.equal(a, b) for a, (b, _) in zip(whole, batches, strict=True))
    noise = [x - (x * 255).floor() / 255 for x in whole]
    assert len({round(float(one[0]), 6) for one in noise}) == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 0}, "batch_size 0 must be at least 1"),
        ({"scale": 0.0}, "scale 0.0 must be above 0"),
        ({"scale": float("nan")}, "scale nan must be above 0"),
        ({"seed": -1}, "seed -1 must be at least 0"),
        ({"augment": crop_and_flip()}, "needs a seed"),
    ],
)
def test_what_cannot_be_is_refused(options, told):
    with pytest.raises(SpecError, match=told):
        Batches(numbered(3), **({"batch_size": 2, "scale": 255.0} | options))


@pytest.mark.parametrize("use", [lambda split: Batches(split, 4, 1.0), lambda split: hold_out(split, 0.5, 0)])
def test_what_is_no_split_is_refused(use):
    with pytest.raises(SpecError, match="batches are those of a split"):
        use(digits())
    for split in (Split(torch.zeros(5, 1), torch.zeros(4)), Split(torch.zeros(4, 1), torch.zeros(5))):
        with pytest.raises(SpecError, match="a class for each sample, got"):
            use(split)


def test_only_images_are_cropped():
    sequence = Split(torch.zeros(4, 3, 2, 4, 4), torch.zeros(4), sequence=True)
    with pytest.raises(SpecError, match=r"crop_and_flip takes images \[batch, c, h, w\], got shape \[4, 3, 2, 4, 4\]"):
        next(iter(Batches(sequence, 4, 1.0, seed=0, augment=crop_and_flip(1))))


def test_an_epoch_below_zero_is_refused():
    with pytest.raises(SpecError, match="epoch -1 must be at least 0"):
        Batches(numbered(3), 2, 255.0, seed=0).set_epoch(-1)


@given(count=st.integers(20, 80), classes=st.integers(1, 5), fraction=st.floats(0.1, 0.9), seed=st.integers(0, 100))
def test_held_out_samples_are_a_share_of_every_class(count, classes, fraction, seed):
    split = numbered(count, classes)
    shares = [round(fraction * int((split.y == label).sum())) for label in range(classes)]
    assume(0 < sum(shares) < count)
    kept, held = hold_out(split, fraction, seed)
    assert sorted(kept.x.flatten().tolist() + held.x.flatten().tolist()) == list(range(count))
    assert [int((held.y == label).sum()) for label in range(classes)] == shares
    for part in (kept, held):
        assert part.x.flatten().tolist() == sorted(part.x.flatten().tolist())
        assert (part.x.flatten() % classes).tolist() == part.y.tolist()


def test_the_seed_decides_what_is_held_out():
    once, again, other = (hold_out(numbered(100), 0.2, seed)[1].x.flatten().tolist() for seed in (1, 1, 2))
    assert once == again != other


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(SpecError, match=f"fraction {fraction} must lie between 0 and 1"):
        hold_out(numbered(20), fraction, seed=0)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_an_empty_part_is_refused(fraction):
    with pytest.raises(SpecError, match=f"fraction {fraction} of 20 samples leaves one part empty"):
        hold_out(numbered(20), fraction, seed=0)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(SpecError, match="seed -1"):
        hold_out(numbered(20), 0.5, seed=-1)


def test_crop_and_flip_shows_all_places_and_mirrors_equally_often():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(18_000, 1, 2, 2)
    augmented = crop_and_flip(padding=1)(x, Generator().manual_seed(0))
    images, counts = augmented.reshape(-1, 4).unique(dim=0, return_counts=True)
    assert len(images) == 18  # nine places, each mirrored or not
    assert all(900 < count < 1100 for count in counts.tolist())
    unmoved = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    for image in unmoved:
        assert (images == image).all(dim=1).any()


def test_crop_and_flip_treats_all_channels_of_an_image_alike():
    x = torch.rand(32, 1, 5, 7, generator=Generator().manual_seed(1)).repeat(1, 3, 1, 1)
    augmented = crop_and_flip()(x, Generator().manual_seed(2))
    assert augmented.shape == x.shape
    assert augmented.is_contiguous()
    assert torch.equal(augmented[:, 0], augmented[:, 1])
    assert torch.equal(augmented[:, 0], augmented[:, 2])
    assert not torch.equal(augmented, x)


def test_crop_and_flip_is_a_function_of_its_generator():
    x = torch.rand(8, 3, 6, 6, generator=Generator().manual_seed(1))
    once, again, other = (crop_and_flip(2)(x, Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_padding_below_zero_is_refused():
    with pytest.raises(SpecError, match="padding -1 must be at least 0"):
        crop_and_flip(-1)
