import math
from fractions import Fraction

import pytest
import torch
from scipy.stats import chi2

from spikequant.errors import SpecError
from spikequant.numerics import rounding
from spikequant.numerics.rounding import ROUNDINGS, rated, round_to_integer, uniform

EIGHTHS = torch.arange(-40, 41) / 8
COUNT = 2**16


def half_up(value: float) -> int:
    return math.floor(Fraction(value) + Fraction(1, 2))


@pytest.mark.parametrize(("rounding", "exact"), [("nearest_even", round), ("half_up", half_up), ("truncate", math.floor)])
def test_every_eighth(rounding: str, exact: object) -> None:
    found = round_to_integer(EIGHTHS, rounding).tolist()
    assert found == [float(exact(value)) for value in EIGHTHS.tolist()]


def test_ties_by_hand() -> None:
    ties = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert round_to_integer(ties, "nearest_even").tolist() == [-2, -2, 0, 0, 2, 2]
    assert round_to_integer(ties, "half_up").tolist() == [-2, -1, 0, 1, 2, 3]
    assert round_to_integer(ties, "truncate").tolist() == [-3, -2, -1, 0, 1, 2]


def test_half_up_is_exact_just_below_the_tie() -> None:
    almost = torch.nextafter(torch.tensor(0.5), torch.tensor(0.0))
    assert (almost + 0.5).floor() == 1  # the naive form is wrong here
    assert round_to_integer(almost, "half_up") == 0


@pytest.mark.parametrize("value", [2.0**23 + 1, -(2.0**23) - 1, 2.0**30, 0.0])
def test_whole_numbers_stay(value: float) -> None:
    x = torch.tensor([value])
    for how in ROUNDINGS:
        assert round_to_integer(x, how, torch.zeros(1)) == x


@pytest.mark.parametrize("infinity", [float("inf"), -float("inf")])
def test_infinities_stay(infinity: float) -> None:
    for how in ROUNDINGS:
        assert round_to_integer(torch.tensor([infinity]), how, torch.zeros(1)).item() == infinity


def test_stochastic_rounds_up_where_noise_is_below_the_fraction() -> None:
    x = torch.tensor([0.25, 0.25, 0.25, -0.25, -0.25])
    noise = torch.tensor([0.0, 0.24, 0.25, 0.74, 0.76])
    assert round_to_integer(x, "stochastic", noise).tolist() == [1, 1, 0, 0, -1]


@pytest.mark.parametrize("value", [0.05, 0.3, 0.5, 0.95, -0.7, -2.125])
def test_stochastic_keeps_the_mean(value: float) -> None:
    drawn = round_to_integer(torch.full((COUNT,), value), "stochastic", uniform(3, 1, 4, torch.arange(COUNT))).double()
    part = value - math.floor(value)
    assert abs(drawn.mean().item() - value) < 4 * math.sqrt(part * (1 - part) / COUNT)
    assert set(drawn.tolist()) == {math.floor(value), math.ceil(value)}


def test_stochastic_without_noise_is_refused() -> None:
    with pytest.raises(SpecError, match="'stochastic' needs noise, got None; build a quantizer"):
        round_to_integer(torch.zeros(1), "stochastic")


def test_an_unknown_rounding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'truncate'"):
        round_to_integer(torch.zeros(1), "trunkate")


def murmur(word: int) -> int:
    """The finalizer of MurmurHash3 in Python's unbounded integers."""
    word ^= word >> 33
    word = word * 0xFF51AFD7ED558CCD % 2**64
    word ^= word >> 33
    word = word * 0xC4CEB9FE1A85EC53 % 2**64
    return word ^ word >> 33


@pytest.mark.parametrize("words", [(0, 0, 0), (1, 2, 3), (2**40, 7, 123456)])
def test_noise_is_the_published_hash(words: tuple[int, int, int]) -> None:
    key = 0
    for word in words:
        key = murmur((key * 31 + word + 1) % 2**64)
    index = [0, 1, 2, 1000, 2**40]
    expected = [(murmur(murmur(i) ^ key) >> 40) / 2**24 for i in index]
    assert uniform(*words, torch.tensor(index)).tolist() == expected


def test_noise_does_not_depend_on_order_or_shape() -> None:
    index = torch.arange(24)
    whole = uniform(5, 6, 7, index)
    assert torch.equal(uniform(5, 6, 7, index.reshape(2, 3, 4)).flatten(), whole)
    assert torch.equal(uniform(5, 6, 7, index.flip(0)).flip(0), whole)
    assert torch.equal(torch.cat([uniform(5, 6, 7, index[:5]), uniform(5, 6, 7, index[5:])]), whole)


def is_uniform(counts: torch.Tensor) -> bool:
    """Chi-square within its 0.01 % and 99.99 % points."""
    expected = counts.sum() / counts.numel()
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return bool(chi2.ppf(1e-4, counts.numel() - 1) < statistic < chi2.ppf(1 - 1e-4, counts.numel() - 1))


@pytest.mark.parametrize("words", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (12345, 17, 4096)])
def test_noise_is_uniform(words: tuple[int, int, int]) -> None:
    noise = uniform(*words, torch.arange(COUNT))
    assert noise.dtype == torch.float32
    assert 0 <= noise.min() < noise.max() < 1
    assert is_uniform(torch.histc(noise, 256, 0, 1))
    bits = (noise * 2**24).long().unsqueeze(1) >> torch.arange(24) & 1
    assert ((bits.double().mean(0) - 0.5).abs() < 4 * 0.5 / math.sqrt(COUNT)).all()


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (31, 0, 0), (0, 31, 0), "next element"])
def test_noise_of_other_seeds_layers_steps_and_elements_is_independent(other: tuple[int, int, int] | str) -> None:
    index = torch.arange(COUNT)
    pairs = (uniform(0, 0, 0, index), uniform(0, 0, 0, index + 1) if isinstance(other, str) else uniform(*other, index))
    cells = (pairs[0] * 16).long() * 16 + (pairs[1] * 16).long()
    assert is_uniform(torch.bincount(cells, minlength=256).float())
    assert torch.corrcoef(torch.stack(pairs))[0, 1].abs() < 4 / math.sqrt(COUNT)


def test_dependent_or_uneven_noise_is_seen() -> None:
    noise = uniform(0, 0, 0, torch.arange(COUNT))
    assert not is_uniform(torch.histc(noise**1.05, 256, 0, 1))
    assert not is_uniform(torch.bincount((noise * 16).long() * 17, minlength=256).float())


@pytest.mark.parametrize("piece", [1, 7, 2**15])
def test_rated_spikes_are_noise_below_the_chance(piece: int, monkeypatch) -> None:
    """Through time as if all noise were drawn, whatever has no chance and whatever the pieces are."""
    monkeypatch.setattr(rounding, "PIECE", piece)
    chance = torch.tensor([[0.0, 0.4, -1.0], [1.0, 0.0, 0.9]])
    expected = uniform(3, 0, 2, torch.arange(30).reshape(5, 2, 3)) < chance
    assert torch.equal(rated(chance, 5, seed=3, step=2), expected)
    assert 5 < expected.sum() < 15
    assert rated(torch.zeros(2), 3).tolist() == [[False, False]] * 3
