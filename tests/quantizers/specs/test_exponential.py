from collections.abc import Callable

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import levels, snap
from spikequant.quantizers import QuantizerSpec, ThresholdCentered, ZeroCentered

Refused = Callable[[str, dict[str, object], str], None]
Values = Callable[[QuantizerSpec], list[float]]


def test_exponential_levels(values: Values) -> None:
    assert values(ThresholdCentered(bits=2)) == pytest.approx([-1, 0.801802, 0.981982, 1.2], abs=1e-6)
    assert values(ZeroCentered(bits=1)) == pytest.approx([0.057143, 1.2], abs=1e-6)
    doubled = ThresholdCentered(bits=3, threshold=2.0, lower_limit=-0.5, upper_limit=1.0)
    assert (values(doubled)[0], values(doubled)[-1], doubled.center, ZeroCentered(bits=3).center) == (-1.0, 4.0, 2.0, 0.0)
    assert ThresholdCentered(bits=4, multiplier=0.8).levels().tolist() != ThresholdCentered(bits=4).levels().tolist()


@pytest.mark.parametrize(("kind", "most"), [(ThresholdCentered, 8), (ZeroCentered, 10)])
def test_exponential_levels_are_distinct_or_refused(kind: type[ThresholdCentered], most: int) -> None:
    for bits in range(1, most + 1):
        found = levels(kind(bits=bits).grid())
        assert (found.diff() > 0).all()
        assert len(found) == 2**bits
    for bits in range(most + 1, 17):
        with pytest.raises(SpecError, match=rf"{kind.__name__}\(bits={bits}\): only .* use fewer bits, or a multiplier closer to 1"):
            kind(bits=bits).grid()


def test_crowded_levels_are_counted() -> None:
    with pytest.raises(SpecError, match="only 394 of 1024 levels differ"):
        ThresholdCentered(bits=10).grid()
    assert ThresholdCentered(bits=10, multiplier=0.999).grid().size == 1024


def test_repairs_put_zero_and_threshold_on_the_grid(values: Values) -> None:
    assert values(ThresholdCentered(bits=2, zero=True, on_threshold=True)) == pytest.approx([-1, 0, 1, 1.2], abs=1e-6)
    assert values(ThresholdCentered(bits=3, on_threshold=True))[-2:] == pytest.approx([1, 1.2])
    assert 0 in values(ZeroCentered(bits=3, zero=True))


def test_fewer_levels_below_zero(values: Values) -> None:
    few = values(ThresholdCentered(bits=3, below=2))
    assert (few[:3], few[-1], len(few)) == ([-1, -0.5, 0], pytest.approx(1.2), 8)
    assert values(ZeroCentered(bits=2, below=1, multiplier=0.5)) == pytest.approx([-1, 0, 0.4, 1.2])


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", [ThresholdCentered, ZeroCentered])
def test_no_level_outlasts_the_leak(kind: type[ThresholdCentered], decay: float) -> None:
    grid = kind(bits=4, zero=True, on_threshold=True, decay=decay).grid()
    assert (snap(grid, decay * levels(grid)) == levels(grid)).sum() == 1
    assert torch.equal(snap(grid, levels(grid)), levels(grid))


def test_a_frozen_range_holds_the_center() -> None:
    spec = ThresholdCentered(bits=3, range="frozen", multiplier=0.5)
    reach = levels(spec.over(torch.tensor(-16.0), torch.tensor(12.0)))
    assert (float(reach[0]), float(reach[-1]), spec.label()) == (-16, 12, "threshold-centered frozen")
    with pytest.raises(SpecError, match="depends on data"):
        spec.grid()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("zeroed", [{"zero": True}, {"below": 1}])
def test_the_threshold_takes_another_level_than_zero(bits: int, zeroed: dict) -> None:
    """Of two bits from -40 to 30, zero was the nearest to the threshold of 2.5."""
    spec = ThresholdCentered(bits=bits, threshold=2.5, range="frozen", on_threshold=True, **zeroed)
    found = levels(spec.over(torch.tensor(-40.0), torch.tensor(30.0))).tolist()
    assert {0.0, 2.5} <= set(found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("threshold_centered", {"bits": 4, "threshold": 0.0}, "ThresholdCentered.threshold: .* nearest valid value: 1e-30"),
        ("threshold_centered", {"bits": 4, "upper_limit": 0.0}, "upper_limit: must be greater than 0, got 0.0"),
        ("threshold_centered", {"bits": 4, "lower_limit": -1.0}, "lower_limit: must be greater than -1, got -1.0"),
        ("zero_centered", {"bits": 4, "multiplier": 1.0}, "multiplier: must be less than 1, got 1.0"),
        ("threshold_centered", {"bits": 4, "decay": 0.9}, "set zero = true, or below"),
        ("threshold_centered", {"bits": 2, "below": 3}, "below must leave two levels from zero up, got 3; nearest valid value: 2"),
        ("threshold_centered", {"bits": 1, "below": 1}, "got 1; nearest valid value: None, or bits = 2"),
        ("threshold_centered", {"bits": 4, "percentile": 99.0}, "percentile belongs to range='frozen'"),
        ("threshold_centered", {"bits": 4, "range": "frozen", "upper_limit": 1.0}, "belong to range='threshold'"),
    ],
)
def test_bad_fields_are_refused(refused: Refused, kind: str, fields: dict[str, object], message: str) -> None:
    refused(kind, fields, message)
