from collections.abc import Callable

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import affine, encode, levels, snap
from spikequant.quantizers import Anchored, FixedPoint, QuantizerSpec, Uniform, integer_bits

NAN, INFINITY = float("nan"), float("inf")
Refused = Callable[[str, dict[str, object], str], None]
Values = Callable[[QuantizerSpec], list[float]]


def test_uniform_levels_at_the_ends_at_zero_and_as_twos_complement(values: Values) -> None:
    assert values(Uniform(bits=2, low=-1.0, high=1.0)) == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert values(Uniform(bits=2, low=0.0, high=1.0)) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert values(Uniform(bits=2, low=-1.0, high=1.0, levels_at="zero")) == [-1, 0, 1]
    assert values(Uniform(bits=3, low=-1.0, high=1.0, levels_at="zero")) == pytest.approx([-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1])
    assert values(Uniform(bits=3, low=-1.0, high=1.0, levels_at="twos")) == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]
    assert values(Uniform(bits=1, low=-1.0, high=1.2)) == pytest.approx([-1, 1.2])


def test_a_fixed_range_does_not_hang_on_the_default_type_of_its_first_reader() -> None:
    spec = Uniform(bits=2, low=-0.1003, high=0.1003)
    torch.set_default_dtype(torch.bfloat16)
    try:
        first = spec.grid()
    finally:
        torch.set_default_dtype(torch.float32)
    assert levels(first).tolist() == levels(affine(-0.1003, 0.1003, 4)).tolist()


def test_uniform_levels_of_squat(values: Values) -> None:
    assert values(Uniform(bits=2, low=-1.0, high=1.2)) == pytest.approx([-1, -0.266667, 0.466667, 1.2], abs=1e-6)
    expected = [-1, -0.685714, -0.371429, -0.057143, 0.257143, 0.571429, 0.885714, 1.2]
    assert values(Uniform(bits=3, low=-1.0, high=1.2)) == pytest.approx(expected, abs=1e-6)
    assert snap(Uniform(bits=3, low=-1.0, high=1.2).grid(), torch.zeros(1)).item() == pytest.approx(-0.057143, abs=1e-6)


def test_fixed_point_levels_and_width(values: Values) -> None:
    q14 = FixedPoint(integer=1, fraction=4)
    assert (values(q14)[0], values(q14)[-1], len(values(q14)), q14.width, q14.label()) == (-2.0, 1.9375, 64, 6, "Q1.4")
    assert values(FixedPoint(integer=0, fraction=0)) == [-1.0, 0.0]
    assert snap(FixedPoint(integer=1, fraction=6).grid(), torch.tensor([0.05]), "half_up").item() == 0.046875
    assert snap(FixedPoint(integer=1, fraction=6).grid(), torch.tensor([0.05]), "truncate").item() == 0.046875
    assert FixedPoint(integer=None, fraction=6).width is None


def test_fixed_point_nearest_rounds_half_up() -> None:
    assert FixedPoint(integer=1, fraction=6).rounding_rule == "half_up"
    assert FixedPoint(integer=1, fraction=6, rounding="truncate").rounding_rule == "truncate"
    assert Uniform(bits=4).rounding_rule == "nearest_even"


@pytest.mark.parametrize("integer", [0, 3, 23])
def test_the_widest_fixed_points_are_exact(integer: int) -> None:
    grid = FixedPoint(integer=integer, fraction=23 - integer).grid()
    codes = torch.tensor([0, 1, 12345, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 2, 2**24 - 1], dtype=torch.int32)
    exact = (codes.double() - 2**23) * 2.0 ** (integer - 23)
    assert torch.equal(snap(grid, exact), exact)
    assert torch.equal(encode(grid, exact.float()), codes)


@pytest.mark.parametrize(
    ("low", "high", "fraction", "expected"),
    [
        (-887, 1250, 0, 11),
        (0, 1, 6, 1),
        (-65, -65, 0, 7),
        (-2, 1.9, 4, 1),
        (-2, 2, 4, 2),
        (-2.01, 0, 4, 2),
        (-4, 3.9375, 4, 2),
        (-4, 3.94, 4, 3),
    ],
)
def test_integer_bits_of_a_range(low: float, high: float, fraction: int, expected: int) -> None:
    assert integer_bits(low, high, fraction) == expected


def test_a_range_too_wide_for_its_fraction_is_refused() -> None:
    with pytest.raises(SpecError, match=r"at most 23, got 11 \+ 16: .* nearest valid value: fraction = 12"):
        FixedPoint(integer=None, fraction=16).over(torch.tensor(-887.0), torch.tensor(1250.0))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("threshold", [1.0, 0.3, 0.427, 2.473])
def test_anchored_has_zero_and_reaches_the_threshold(bits: int, threshold: float) -> None:
    spec = Anchored(bits=bits, threshold=threshold)
    found = levels(spec.grid())
    assert found[2**bits // 4] == 0
    assert torch.tensor(threshold) <= found[-1] <= threshold * (1 + 1e-6)


def test_anchored_by_hand(values: Values) -> None:
    assert values(Anchored(bits=2)) == [-0.5, 0, 0.5, 1]
    assert values(Anchored(bits=2, below=0, threshold=3.0)) == [0, 1, 2, 3]
    assert values(Anchored(bits=2, below=2)) == [-2, -1, 0, 1]
    assert values(Anchored(bits=1)) == [0, 1]


def test_fewer_levels_below_zero(values: Values) -> None:
    assert values(Uniform(bits=2, low=-2.0, high=3.0, below=1)) == pytest.approx([-2, 0, 1.5, 3])
    assert values(Uniform(bits=3, low=-3.0, high=4.0, below=3)) == pytest.approx([-3, -2, -1, 0, 1, 2, 3, 4])


def test_anchored_with_levels_above_and_a_leak(values: Values) -> None:
    assert values(Anchored(bits=2, above=1)) == [-1, 0, 1, 2]
    assert values(Anchored(bits=3, below=1, above=2)) == [-0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
    leaky = Anchored(bits=4, threshold=1.5, decay=0.9).grid()
    kept = snap(leaky, 0.9 * levels(leaky))
    assert [float(q) for q, after in zip(levels(leaky), kept, strict=True) if q == after] == [0.0]
    stalled = levels(Anchored(bits=4, threshold=1.5).grid())
    assert (snap(Anchored(bits=4, threshold=1.5).grid(), 0.9 * stalled) == stalled).sum() > 1


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("uniform", {"bits": 0}, r"Uniform.bits: .* got 0; nearest valid value: 1"),
        ("uniform", {"bits": 40}, r"Uniform.bits: .* got 40; nearest valid value: 16"),
        ("uniform", {"bits": True}, "Uniform.bits: must be a valid integer, got True"),
        ("uniform", {"bits": 4.5}, "Uniform.bits: must be a valid integer, got 4.5"),
        ("uniform", {}, "Uniform.bits: is required"),
        ("uniform", {"bits": 4, "low": 1.0, "high": 1.0}, "low must be below high, got 1.0 and 1.0"),
        ("uniform", {"bits": 4, "low": 2.0, "high": 1.0}, "low must be below high, got 2.0 and 1.0"),
        ("uniform", {"bits": 4, "low": 2.0}, "low and high must be given together"),
        ("uniform", {"bits": 4, "high": 2.0}, "low and high must be given together"),
        ("uniform", {"bits": 4, "low": NAN, "high": 1.0}, "Uniform.low: must be a finite number, got nan"),
        ("uniform", {"bits": 4, "low": 0.0, "high": INFINITY}, "Uniform.high: must be a finite number, got inf"),
        ("uniform", {"bits": 4, "low": -1e300, "high": 1e300}, r"Uniform.low: .* nearest valid value: -1e\+30"),
        ("uniform", {"bits": 4, "low": 1.0, "high": 1.0 + 1e-9}, "float32 cannot tell 16 levels from 1.0 to 1.000000001 apart"),
        ("uniform", {"bits": 4, "low": 0.0, "high": 1e-40}, "float32 cannot tell 16 levels"),
        ("uniform", {"bits": 16, "low": 1.0, "high": 1.001}, "use fewer bits"),
        ("uniform", {"bits": 4, "low": -1.0, "high": 2.0, "levels_at": "zero"}, "levels_at='zero' needs low = -high, got -1.0 and 2.0"),
        ("uniform", {"bits": 1, "levels_at": "twos"}, "levels_at='twos' needs at least 2 bits, got 1; nearest valid value: 2"),
        ("uniform", {"bits": 4, "levels_at": "end"}, "did you mean 'ends'"),
        ("uniform", {"bits": 4, "rounding": "nearest"}, "Uniform.rounding: must be 'nearest_even'"),
        ("uniform", {"bits": 4, "rounding": "truncat"}, "did you mean 'truncate'"),
        ("uniform", {"bits": 4, "observer": "min_max"}, "did you mean 'minmax'"),
        ("uniform", {"bits": 4, "percentile": 50}, "Uniform.percentile: must be greater than 50, got 50"),
        ("uniform", {"bits": 1, "low": -1.0, "high": 1.0, "below": 1}, "got 1; nearest valid value: None, or bits = 2"),
        ("uniform", {"bits": 4, "percentile": 99.0}, "percentile belongs to observer='percentile', got 99.0 with 'minmax'; leave it out"),
        ("uniform", {"bits": 4, "low": -1.0, "high": 1.0, "per_channel": True}, "per_channel must be False"),
        ("uniform", {"bits": 4, "low": -1.0, "high": 1.0, "observer": "mean_square"}, "observer 'minmax'"),
        ("uniform", {"bits": 4, "gradient": "masc"}, "did you mean 'mask'"),
        ("uniform", {"bits": 4, "kind": "unifrm"}, "did you mean 'uniform'"),
        ("uniform", {"bits": 4, "version": 2}, "Uniform.version: must be 1, got 2"),
        ("uniform", {"bits": 4, "hig": 1.0}, "Uniform.hig: no such field; did you mean 'high'"),
        ("uniform", {"bits": 4, "range": "batch"}, "Uniform.range: must be 'frozen'"),
        (
            "uniform",
            {"bits": 4, "range": "sample", "low": -1.0, "high": 1.0},
            "range='sample' finds the range anew each time: low must be None, got -1.0",
        ),
        ("uniform", {"bits": 4, "range": "step_batch", "per_channel": True}, "per_channel must be False, got True"),
        ("uniform", {"bits": 2, "below": 3}, "below must leave zero and the top their levels, got 3; nearest valid value: 2"),
        ("uniform", {"bits": 4, "below": 3, "rounding": "truncate"}, "below gives unequal steps"),
        ("uniform", {"bits": 4, "below": 3, "low": 1.0, "high": 2.0}, "below needs a range around zero, got 1.0 to 2.0"),
        ("anchored", {"bits": 2, "above": 3}, "above must leave zero and the threshold their levels, got 3; nearest valid value: 2"),
        ("anchored", {"bits": 2, "above": 1, "below": 2}, "below must leave .* got 2; nearest valid value: 1"),
        ("anchored", {"bits": 2, "decay": 0.9, "rounding": "truncate"}, "rounding must be 'nearest_even'"),
        ("anchored", {"bits": 2, "decay": 1.0}, "Anchored.decay: must be less than 1"),
        ("fixed_point", {"integer": 12, "fraction": 12}, r"at most 23, got 12 \+ 12: .* nearest valid value: fraction = 11"),
        ("fixed_point", {"integer": 24, "fraction": 0}, "FixedPoint.integer: .* nearest valid value: 23"),
        ("fixed_point", {"integer": -1, "fraction": 0}, "FixedPoint.integer: .* nearest valid value: 0"),
        ("fixed_point", {"integer": 1, "fraction": 1, "rounding": "nearest_even"}, "did you mean 'nearest'"),
        ("anchored", {"bits": 2, "below": 3}, "below must leave zero and the threshold their levels, got 3; nearest valid value: 2"),
        ("anchored", {"bits": 2, "threshold": -1.0}, "Anchored.threshold: .* got -1.0; nearest valid value: 1e-30"),
    ],
)
def test_bad_fields_are_refused(refused: Refused, kind: str, fields: dict[str, object], message: str) -> None:
    refused(kind, fields, message)
