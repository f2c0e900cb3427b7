import numpy as np
import pytest

from spikequant.behavior.agreement import Agreement, Tally
from spikequant.behavior.drift import Drift
from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.behavior.floors import Resamples
from spikequant.behavior.judging import Bounds, drift
from spikequant.errors import SpecError

# of 100 sites in two chunks
WAS = [[0, 10, 20, 30], [50, 2]]
IS = [[0, 0, 60, 20], [98, 6]]


def firing(layers: list[list[int]], pooled: bool = False) -> Firing:
    made = [LayerFiring(f"layer{i}", np.array([counts, counts]), np.array([100, 100]), 2, 4) for i, counts in enumerate(layers)]
    return Firing(tuple(made), 2, pooled)


def judged(before: list[list[int]], after: list[list[int]], pooled: bool = False, tallies: tuple[Tally | None, ...] = ()) -> Drift:
    reference, network = firing(before, pooled), firing(after, pooled)
    agreement = Agreement({f"layer{index}": f"layer{index}" for index in range(len(before))})
    agreement.layers = dict(zip(agreement.layers, tallies or [Tally([25] * 4, [0, 0, 0, 10])] * len(before), strict=True))
    return drift(reference, network, Bounds(0.05, 0.95), agreement, Resamples(2, 20, 0).judge(reference, network))


def test_layer_golden() -> None:
    layer = judged(WAS, IS).layers[0]
    # sorted: 0 .1 .2 .3 and 0 0 .2 .6
    assert (layer.emd, layer.emd_mean_shift, layer.emd_shape) == pytest.approx((0.1, 0.05, 0.125))
    assert layer.matched_shift == pytest.approx((0.1 + 0.4 + 0.1) / 4)
    assert (layer.name, layer.channels) == ("layer0", 4)
    assert (layer.mean_rate, layer.reference.mean_rate) == pytest.approx((0.2, 0.15))
    assert (layer.dead, layer.silent, layer.saturated) == (0.5, 0.5, 0.0)
    assert (layer.reference.dead, layer.reference.silent, layer.reference.saturated) == (0.25, 0.25, 0.0)
    assert layer.rates == (0.0, 0.0, 0.6, 0.2)
    assert layer.reference.rates == (0.0, 0.1, 0.2, 0.3)


def test_who_died_and_who_revived() -> None:
    first, second = judged(WAS, IS).layers
    assert (first.died, first.revived) == ((1,), ())
    assert (second.died, second.revived) == ((), (1,))


def test_network_is_the_mean_over_layers() -> None:
    result = judged(WAS, IS)
    assert result.emd == pytest.approx((0.1 + 0.26) / 2)
    assert (result.mean_rate, result.reference_mean_rate) == pytest.approx(((0.2 + 0.52) / 2, (0.15 + 0.26) / 2))
    assert (result.dead, result.silent, result.saturated) == (0.25, 0.25, 0.25)
    assert (result.reference_dead, result.reference_silent, result.reference_saturated) == (0.375, 0.125, 0.0)
    assert result.matched_shift == pytest.approx((0.15 + 0.26) / 2)


def test_network_pooled_is_one_set_of_channels() -> None:
    result = judged(WAS, IS, pooled=True)
    # sorted: 0 .02 .1 .2 .3 .5 and 0 0 .06 .2 .6 .98
    assert result.emd == pytest.approx((0.02 + 0.04 + 0.3 + 0.48) / 6)
    assert (result.mean_rate, result.dead, result.saturated) == pytest.approx((1.84 / 6, 2 / 6, 1 / 6))
    assert result.matched_shift == pytest.approx((0.6 + 0.52) / 6)
    assert result.layers == judged(WAS, IS).layers


def test_agreement_is_the_mean_over_layers_or_over_bits() -> None:
    tallies = (Tally([25] * 4, [0, 0, 10, 0]), Tally([300], [90]))
    assert judged(WAS, IS, tallies=tallies).agreement == pytest.approx((0.9 + 0.7) / 2)
    assert judged(WAS, IS, pooled=True, tallies=tallies).agreement == pytest.approx(0.75)
    assert [layer.first_difference for layer in judged(WAS, IS, tallies=tallies).layers] == [2, 0]
    assert [layer.disagreement for layer in judged(WAS, IS, tallies=tallies).layers] == [(0.0, 0.0, 0.4, 0.0), (0.3,)]


def test_without_a_common_shape_there_is_no_agreement() -> None:
    result = judged(WAS, IS, tallies=(Tally([25] * 4, [0, 0, 10, 0]), None))
    assert (result.agreement, result.layers[1].agreement, result.layers[1].first_difference) == (None, None, None)
    assert result.layers[0].agreement == pytest.approx(0.9)
    assert result.layers[1].disagreement == ()


def test_other_channels_are_not_matched_and_still_have_an_emd() -> None:
    result = judged(WAS, [IS[0], [10, 40, 1]])
    layer = result.layers[1]
    assert (layer.matched_shift, layer.died, layer.revived, result.matched_shift) == (None, (), (), None)
    # {.02, .5} to {.01, .1, .4}: a third, a sixth, a sixth and a third of the mass
    assert layer.emd == pytest.approx(0.01 / 3 + 0.08 / 6 + 0.4 / 6 + 0.1 / 3)


def test_emd_lies_between_mean_shift_and_matched_shift() -> None:
    for layer in judged(WAS, IS).layers:
        assert layer.matched_shift is not None
        assert layer.emd_mean_shift <= layer.emd + 1e-15 <= layer.matched_shift + 2e-15


@pytest.mark.parametrize(("bounds", "message"), [((-0.1, 0.9), "dead_below .* got -0.1; .* 0.0"), ((0.1, 1.5), "saturated_above .* 1.0")])
def test_bounds_are_rates(bounds: tuple[float, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Bounds.checked(*bounds)
