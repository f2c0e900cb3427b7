import pytest
from scipy.stats import t

from spikequant.errors import SpecError
from spikequant.search.quantile import half_width


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999, 0.9999])
@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 16, 39, 200])
def test_equals_scipy(confidence: float, freedom: int) -> None:
    assert half_width(confidence, freedom) == pytest.approx(t.ppf((1 + confidence) / 2, freedom), rel=1e-9)


@pytest.mark.parametrize(("confidence", "freedom"), [(0.0, 3), (1.0, 3), (0.95, 0)])
def test_refuses_what_is_no_interval(confidence: float, freedom: int) -> None:
    with pytest.raises(SpecError, match="an interval needs"):
        half_width(confidence, freedom)
