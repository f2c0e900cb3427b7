"""The C twin of ``sorted_gaps`` against numpy's sort: the same bits, for every size and kind of numbers."""

from collections.abc import Callable

import numpy as np
import pytest

from spikequant.numerics import sorted_gaps, sorting
from spikequant.numerics.kernels import sorting_native

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
KINDS: dict[str, Draw] = {
    "anything": lambda draw, shape: draw.random(shape),
    "rates of 25 steps": lambda draw, shape: draw.integers(0, 26, shape) / 25,
    "mostly small": lambda draw, shape: draw.binomial(2000, draw.beta(1, 9, shape)) / 2000,
    "either sign": lambda draw, shape: draw.normal(size=shape),
    "all one number": lambda draw, shape: np.full(shape, 0.3),
    "one apart": lambda draw, shape: np.where(np.arange(shape[-1]) == 0, 1e12, draw.random(shape)),
    "neighboring floats": lambda draw, shape: 1 + draw.integers(0, 5, shape) * 2.0**-52,
    "subnormal": lambda draw, shape: draw.integers(0, 9, shape) * 5e-324,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (8,), (129,), (2000,), (5, 64), (3, 2, 33)])
def test_gives_the_bits_of_numpy(kind: str, shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    a, b = (KINDS[kind](draw, shape) for _ in range(2))
    assert sorted_gaps(a, b).tobytes() == sorting.sorted_gaps(a, b).tobytes()


def test_takes_views_and_what_cannot_be_written() -> None:
    a = np.random.default_rng(0).random((40, 6)).T
    b = a[:, ::-1].copy()
    b.flags.writeable = False
    assert sorting_native.sorted_gaps(a, b).tolist() == [0.0] * 6
    assert sorting_native.sorted_gaps(a, b + 1).tolist() == sorting.sorted_gaps(a, b + 1).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_leaves_to_numpy_what_is_not_finite(bad: float) -> None:
    for place in (0, 40, 99):
        a = np.linspace(0, 1, 100)
        a[place] = bad
        assert sorting_native.sorted_gaps(a, np.zeros(100)) is None
        assert sorting_native.sorted_gaps(np.zeros(100), a) is None


def test_leaves_to_numpy_what_crowds() -> None:
    draw = np.random.default_rng(0)
    crowd = np.append(1e-9 * draw.random(999), 1.0)
    assert sorting_native.sorted_gaps(crowd, crowd[::-1].copy()) is None
    assert sorted_gaps(crowd, crowd[::-1].copy()) == 0
    assert sorting_native.sorted_gaps(draw.random(1000), draw.random(1000)) is not None


def test_leaves_to_numpy_a_span_that_overflows() -> None:
    wide = np.array([-1.5e308, 1.5e308])
    assert sorting_native.sorted_gaps(wide, wide) is None
    assert sorted_gaps(wide, wide) == 0
