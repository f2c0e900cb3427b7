"""How far apart two runs of one configuration lie: estimated from pairs that should be alike."""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from spikequant.errors import SpecError
from spikequant.search.rows import Row, bearing, paper_rows, words

Scale = Literal["difference", "ratio"]

# Pairs of a paper's rows that are two draws of one configuration: with LQ-Net a clip at 1 or 10 touches no weight; SQUAT says that its two
# kinds of levels do not differ at 8 bits (section V), so that theirs bounds the noise of a printed cell from above.
ALIKE = {"beyond-accuracy": ("lqnet narrow", "lqnet wide"), "squat": ("exponential 8bits", "uniform 8bits")}


class Noise(NamedTuple):
    """The standard deviation of a single run, with the number of pairs behind it (its degrees of freedom)."""

    deviation: float
    pairs: int


def noise_of(rows: Iterable[Row], measure: str, first: str, second: str, scale: Scale = "difference") -> Noise:
    """The noise of one run from pairs of rows that differ only in the tags ``first`` and ``second``, and should be alike.

    Equation: ``sqrt(mean((a - b)^2) / 2)`` over pairs; of logarithms on the scale ``ratio``, so that it is relative.

    Raises:
        SpecError: there is no such pair.

    >>> rows = [Row(words("a x"), {"emd": 0.5}), Row(words("b x"), {"emd": 0.7})]
    >>> round(noise_of(rows, "emd", "a", "b").deviation, 6)
    0.141421
    """
    rows = list(rows)
    seconds = {(row.tags - words(second), row.seed): row for row in bearing(rows, second) if measure in row.measures}
    pairs = [
        (row.measures[measure], seconds[key].measures[measure])
        for row in bearing(rows, first)
        if measure in row.measures and (key := (row.tags - words(first), row.seed)) in seconds
    ]
    if not pairs:
        raise SpecError(f"no two rows with {measure!r} differ only in {first!r} and {second!r}; their noise cannot be estimated")
    squares = [(on_scale(a, scale) - on_scale(b, scale)) ** 2 for a, b in pairs]
    return Noise(math.sqrt(sum(squares) / len(pairs) / 2), len(pairs))


def paper_noise(paper: str, measure: str, scale: Scale = "difference") -> Noise | None:
    """A paper's noise by its own rows; None where no two of them are draws of one configuration.

    >>> noise = paper_noise("beyond-accuracy", "accuracy")
    >>> noise and noise.pairs
    16
    """
    if paper not in ALIKE:
        return None
    return noise_of(paper_rows(paper), measure, *ALIKE[paper], scale)


def on_scale(value: float, scale: Scale) -> float:
    """The value, or its logarithm where ratios are compared.

    Raises:
        SpecError: a value that is not above 0 has no ratio.
    """
    if scale == "difference":
        return value
    if value <= 0:
        raise SpecError(f"a ratio needs values above 0, got {value}; compare by difference")
    return math.log(value)
