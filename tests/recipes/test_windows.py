from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.models import Node
from spikequant.recipes.windows import Windows, pair, windows


def mean(**args: Any) -> Node:
    return Node(name="p", kind="mean_pool", inputs=("x",), args=args)


def test_an_adaptive_average_has_the_windows_that_its_image_gives() -> None:
    found = windows(Node(name="p", kind="average_pool", inputs=("x",), args={"output_size": [2, 1]}), (3, 4, 3), (3, 2, 1))
    assert found == Windows((2, 3), (2, 3), 6)
    assert found.args == {"size": [2, 3], "stride": [2, 3]}
    assert Windows((2, 2), (2, 2), 4).args == {"size": 2}
    with pytest.raises(SpecError, match="p: an average of 4x3 over unequal windows to 3x1"):
        windows(Node(name="p", kind="average_pool", inputs=("x",), args={"output_size": [3, 1]}), (3, 4, 3), (3, 3, 1))


def test_a_mean_has_its_own() -> None:
    assert windows(mean(kernel_size=2, stride=None), (1, 5, 5), (1, 2, 2)) == Windows((2, 2), (2, 2), 4)
    assert windows(mean(kernel_size=[3, 2], stride=[1, 2], divisor_override=5), (1, 5, 4), (1, 3, 2)) == Windows((3, 2), (1, 2), 5)
    assert windows(mean(kernel_size=2, ceil_mode=True), (1, 4, 4), (1, 2, 2)).divisor == 4


@pytest.mark.parametrize("args", [{"kernel_size": 3, "padding": 1}, {"kernel_size": 2, "stride": 2, "ceil_mode": True}])
def test_windows_beyond_the_image_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="p: a mean over windows that reach beyond the image"):
        windows(mean(**args), (1, 5, 5), (1, 3, 3))


def test_one_number_is_a_pair() -> None:
    assert (pair(2), pair((1, 2))) == ((2, 2), (1, 2))
