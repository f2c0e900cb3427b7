"""The twin of ``present`` shows the reference's spikes, weights, thresholds and extremes, bit for bit."""

import itertools

import pytest
import torch

from spikequant.numerics import affine, integers, stdp
from spikequant.numerics.kernels import stdp_native
from spikequant.numerics.stdp import Competition, Conductance, Format, Formats, Learned, Plasticity, Stream

ROUNDINGS = ("half_up", "truncate", "stochastic")
HOLDINGS = ("on_change", "every_step", "in_place")


def fixed(integer: int, fraction: int, rounding: str) -> Format:
    whole = 2 ** (integer + fraction)
    return Format(integers(2.0**-fraction, -whole, 2 * whole), rounding)


def grids(rounding: str, holding: str) -> list[Formats]:
    fine, coarse = fixed(11, 6, rounding), fixed(11, 2, rounding)
    return [Formats(fixed(1, 6, rounding), fine, fine, holding), Formats(fixed(1, 4, rounding), None, coarse, holding)]


def differing(formats: Formats, learning: bool, single: bool, conductance: bool, **of_rule: float) -> list[str]:
    weight = torch.rand(24, 10)
    learned = Learned(weight * 5 / weight.sum(0), torch.rand(10))
    opened = Conductance(leak=0.05) if conductance else None
    threshold = -60.0 if conductance else -63.0
    competition = Competition(threshold=threshold, inhibition=0.5, single=single, conductance=opened, theta_decay=0.999)
    rule = Plasticity(**{"pre": 0.01, "post": 0.1, "total": 5.0, **of_rule}) if learning else None
    chances = torch.rand(2, 24) * (torch.rand(2, 24) < 0.6) * 0.4
    expected, found = (
        twin(chances, learned, competition, rule, formats, Stream(30, seed=3, first=5), watch=True)
        for twin in (stdp.present, stdp_native.present)
    )
    assert expected.counts.sum() > 5
    assert not learning or not torch.equal(expected.learned.weight, learned.weight)
    pairs = {
        "counts": (expected.counts, found.counts),
        "weight": (expected.learned.weight, found.learned.weight),
        "theta": (expected.learned.theta, found.learned.theta),
        "extremes": (expected.extremes, found.extremes),
    }
    return [name for name, (a, b) in pairs.items() if not torch.equal(a, b)]


@pytest.mark.parametrize("conductance", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("learning", [False, True])
def test_float_networks(learning: bool, single: bool, conductance: bool) -> None:
    assert differing(Formats(), learning, single, conductance) == []


@pytest.mark.parametrize(("rounding", "holding"), list(itertools.product(ROUNDINGS, HOLDINGS)))
def test_every_rounding_and_holding(rounding: str, holding: str) -> None:
    for index, formats in enumerate(grids(rounding, holding)):
        assert differing(formats, True, bool(index), bool(index)) == []
        assert differing(formats, False, not index, False) == []


@pytest.mark.parametrize("decay", [0.0, 1e-12])
def test_weights_whose_trace_has_faded_are_left_alone(decay: float) -> None:
    for formats in grids("stochastic", "on_change"):
        assert differing(formats, True, False, False, trace_decay=decay, total=0.0) == []


def test_threads_change_no_bit() -> None:
    learned = Learned(torch.rand(30, 20), torch.zeros(20))
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(stdp_native.present(torch.full((7, 30), 0.3), learned, Competition(), stream=Stream(50)).counts)
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_what_the_twin_does_not_cover() -> None:
    learned = Learned(torch.rand(3, 2), torch.zeros(2))
    assert stdp_native.fits(learned, Formats(v=fixed(2, 2, "truncate")))
    assert not stdp_native.fits(learned, Formats(v=Format(affine(-1.0, 1.0, 16))))
    assert not stdp_native.fits(learned, Formats(v=fixed(2, 2, "nearest_even")))
    assert not stdp_native.fits(Learned(learned.weight.double(), learned.theta), None)
    assert not stdp_native.fits(Learned(learned.weight, learned.theta.double()), None)
