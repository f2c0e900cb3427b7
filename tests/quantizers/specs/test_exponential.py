from collections.abc import Callable

import pytest

from spikequant.errors import SpecError
from spikequant.numerics import levels
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


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("threshold_centered", {"bits": 4, "threshold": 0.0}, "ThresholdCentered.threshold: .* nearest valid value: 1e-30"),
        ("threshold_centered", {"bits": 4, "upper_limit": 0.0}, "upper_limit: must be greater than 0, got 0.0"),
        ("threshold_centered", {"bits": 4, "lower_limit": -1.0}, "lower_limit: must be greater than -1, got -1.0"),
        ("zero_centered", {"bits": 4, "multiplier": 1.0}, "multiplier: must be less than 1, got 1.0"),
    ],
)
def test_bad_fields_are_refused(refused: Refused, kind: str, fields: dict[str, object], message: str) -> None:
    refused(kind, fields, message)
