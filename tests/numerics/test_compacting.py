import math

import pytest
import torch

from spikequant.numerics.compacting import compact, expanded

WHOLE = torch.arange(256.0).repeat(3, 2, 1)
OTHERS = [0.5, -1.0, 256.0, 255.0001, 2.0**32, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_whole_numbers_come_back(dtype: torch.dtype) -> None:
    small = compact(WHOLE.to(dtype))
    assert small is not None
    assert small.dtype == torch.uint8
    assert torch.equal(expanded(small, dtype), WHOLE.to(dtype))


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("place", [(0, 0, 0), (2, 1, 255)])
def test_any_other_value_is_seen_wherever_it_is(other: float, place: tuple[int, ...]) -> None:
    x = WHOLE.clone()
    x[place] = other
    assert compact(x) is None
