import numpy as np
import pytest

from spikequant.behavior.emd import all_pairs, emd
from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.behavior.floors import Resamples

SITES = 100


def drawn(seed: int, chunks: int = 40, channels: tuple[int, ...] = (16, 8), pooled: bool = False, shift: float = 0.0) -> Firing:
    """A network whose channels fire by chance about rates of their own; ``shift`` moves the rates."""
    generator = np.random.default_rng(seed)
    layers = []
    for index, count in enumerate(channels):
        rates = np.clip(np.random.default_rng(index).beta(1, 4, count) + shift, 0, 1)
        counts = generator.binomial(SITES, rates, size=(chunks, count))
        layers.append(LayerFiring(f"layer{index}", counts, np.full(chunks, SITES), chunks, 4))
    return Firing(tuple(layers), chunks, pooled)


def floor(firing: Firing, seed: int = 0, count: int = 400) -> list[float]:
    return [each.value for each in Resamples(len(firing.layers[0].counts), count, seed).sampling_floor(firing)]


def test_sampling_floor_is_above_zero_and_shrinks_with_the_sample() -> None:
    few, many = floor(drawn(1, chunks=20)), floor(drawn(1, chunks=320))
    assert all(value > 0 for value in many)
    # sixteen times the images: a quarter of the noise
    assert [a / b for a, b in zip(few, many, strict=True)] == pytest.approx([4] * 3, rel=0.5)


def test_sampling_floor_is_what_two_fresh_samples_differ_by() -> None:
    fresh = [emd(drawn(seed).layers[0].rates, drawn(seed + 1000).layers[0].rates) for seed in range(100)]
    assert floor(drawn(0))[0] == pytest.approx(np.mean(fresh), rel=0.35)


def test_a_network_that_fires_alike_on_all_images_has_no_sampling_floor() -> None:
    constant = Firing((LayerFiring("a", np.full((10, 4), 5), np.full(10, 10), 10, 1),), 10)
    assert floor(constant) == [0.0, 0.0]


def test_network_is_the_mean_over_layers_or_all_channels_as_one_set() -> None:
    reference, other = drawn(1), drawn(2, shift=0.1)
    *layers, network = Resamples(40, 50, 0).emd(reference, other)
    assert network.value == pytest.approx(np.mean([layer.value for layer in layers]))
    assert layers[0].value == pytest.approx(emd(reference.layers[0].rates, other.layers[0].rates), abs=1e-15)
    sets = [np.concatenate([layer.rates for layer in firing.layers]) for firing in (reference, other)]
    pooled = Resamples(40, 50, 0).emd(drawn(1, pooled=True), drawn(2, shift=0.1, pooled=True))[-1]
    assert pooled.value == pytest.approx(emd(*sets), abs=1e-15)


def test_interval_of_the_emd_holds_estimate_and_truth() -> None:
    held = 0
    for seed in range(40):
        estimate = Resamples(40, 200, seed).emd(drawn(2 * seed), drawn(2 * seed + 1, shift=0.1))[0]
        assert estimate.low <= estimate.value <= estimate.high
        held += estimate.low <= 0.1 <= estimate.high
    assert held >= 33


def test_interval_holds_an_estimate_that_is_only_noise() -> None:
    # each resample adds its noise to that of the sample: all of them lie above the estimate
    estimate = Resamples(40, 200, 0).emd(drawn(0, channels=(400,)), drawn(1, channels=(400,)))[0]
    assert estimate.low == estimate.value < (estimate.low + estimate.high) / 2


def test_intervals_narrow_with_the_sample() -> None:
    few, many = (Resamples(chunks, 200, 0).emd(drawn(1, chunks), drawn(2, chunks, shift=0.1))[0] for chunks in (20, 320))
    assert few.high - few.low > 2 * (many.high - many.low)


def test_of_itself_the_emd_is_zero_in_every_resample() -> None:
    assert all(estimate == (0, 0, 0) for estimate in Resamples(40, 50, 0).emd(drawn(1), drawn(1)))


def test_channels_may_differ_in_number() -> None:
    a, b = drawn(1, channels=(16,)), drawn(2, channels=(9,))
    assert Resamples(40, 20, 0).emd(a, b)[0].value == pytest.approx(emd(a.layers[0].rates, b.layers[0].rates), abs=1e-15)


def test_training_floor_is_the_mean_over_all_pairs() -> None:
    floats = [drawn(seed, shift=0.02 * seed) for seed in range(4)]
    network = drawn(9, shift=0.3)
    training = Resamples(40, 100, 0).training_floor(floats[0], network, floats[1:])
    pairs = all_pairs([each.layers[1].rates for each in floats])
    expected = pairs[np.triu_indices(4, 1)].mean()
    assert training[1].pairs == 6
    assert training[1].floor.value == pytest.approx(expected)
    distance = emd(floats[0].layers[1].rates, network.layers[1].rates)
    assert training[1].excess.value == pytest.approx(distance - expected)
    assert training[1].excess.low > 0
    assert training[-1].floor.value == pytest.approx(np.mean([each.floor.value for each in training[:-1]]))


def test_another_float_seed_has_no_excess() -> None:
    floats = [drawn(seed, shift=shift) for seed, shift in enumerate((0.0, 0.05, 0.1))]
    excess = Resamples(40, 200, 0).training_floor(floats[0], drawn(9, shift=0.05), floats[1:])[0].excess
    assert excess.low <= 0 <= excess.high


def test_one_twin_leaves_one_pair() -> None:
    training = Resamples(40, 100, 0).training_floor(drawn(0), drawn(1, shift=0.2), [drawn(2, shift=0.1)])
    assert training[0].pairs == 1
    assert training[0].floor.value == pytest.approx(emd(drawn(0).layers[0].rates, drawn(2, shift=0.1).layers[0].rates))


def test_the_two_floors_are_kept_apart() -> None:
    reference, network, twin = drawn(0), drawn(1), drawn(2, shift=0.2)
    alone, beside = Resamples(40, 50, 0).judge(reference, network), Resamples(40, 50, 0).judge(reference, network, [twin])
    assert [each.training for each in alone] == [None] * 3
    assert [each.sampling for each in alone] == [each.sampling for each in beside]
    assert all(each.training is not None and each.training.floor.value > 10 * each.sampling.value for each in beside)


def test_a_seed_gives_the_same_floors_again() -> None:
    assert floor(drawn(1), seed=3) == floor(drawn(1), seed=3) != floor(drawn(1), seed=4)
