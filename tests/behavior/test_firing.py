import numpy as np
import pytest

from spikequant.behavior.firing import Firing, LayerFiring, above, dead, silent
from spikequant.errors import MismatchError


def layer(name: str, counts: list[list[int]], sites: list[int]) -> LayerFiring:
    return LayerFiring(name, np.array(counts), np.array(sites), images=len(sites), steps=4)


# rates 0, .04, .05, .96 (of 100 sites) and .5, 1
FOUR = layer("four", [[0, 1, 2, 48], [0, 3, 3, 48]], [50, 50])
TWO = layer("two", [[1, 4], [3, 4]], [4, 4])
BOTH = Firing((FOUR, TWO), images=2)


def test_rates_weigh_every_opportunity_alike() -> None:
    assert FOUR.rates.tolist() == [0, 0.04, 0.05, 0.96]
    assert layer("uneven", [[3], [0]], [3, 1]).rates.tolist() == [0.75]
    assert FOUR.rates.dtype == np.float64


def test_bounds_are_strict() -> None:
    rates = np.array([0.0, 0.05, 0.95, 1.0])
    assert (dead(rates), dead(rates, below=0.0), silent(rates)) == (0.25, 0.0, 0.25)
    assert (above(rates, 0.95), above(rates, 0.94)) == (0.25, 0.5)


def test_layer_values() -> None:
    assert FOUR.channels == 4
    assert FOUR.mean_rate == pytest.approx(1.05 / 4)
    assert (FOUR.dead(), FOUR.dead(below=0.06), FOUR.silent) == (0.5, 0.75, 0.25)
    assert (FOUR.saturated(), FOUR.saturated(0.97)) == (0.25, 0.0)


def test_network_values_are_means_over_layers() -> None:
    assert BOTH.mean_rate == pytest.approx((1.05 / 4 + 0.75) / 2)
    assert (BOTH.dead(), BOTH.silent, BOTH.saturated()) == (0.25, 0.125, 0.375)


def test_pooled_takes_all_channels_as_one_set() -> None:
    pooled = Firing(BOTH.layers, images=2, pooled=True)
    assert pooled.mean_rate == pytest.approx((1.05 + 1.5) / 6)
    assert (pooled.dead(), pooled.silent, pooled.saturated()) == pytest.approx((2 / 6, 1 / 6, 2 / 6))


def test_emd_of_two_networks_is_the_mean_over_layers_or_of_all_channels_at_once() -> None:
    ours = Firing((layer("a", [[1, 3]], [4]), layer("b", [[2, 2]], [4])), images=4)
    theirs = Firing((layer("a", [[1, 1]], [4]), layer("b", [[2, 2]], [4])), images=4)
    assert ours.emd(theirs) == theirs.emd(ours) == pytest.approx(0.125)
    pooled = Firing(ours.layers, 4, pooled=True).emd(Firing(theirs.layers, 4, pooled=True))
    assert pooled == pytest.approx(0.125)
    with pytest.raises(MismatchError, match="firing of 2 layers has no EMD to one of 1"):
        ours.emd(Firing(theirs.layers[:1], 4))
