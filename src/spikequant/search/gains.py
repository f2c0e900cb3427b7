"""What a method's accuracy gains over its baseline's, as rows of their own: where a paper prints the gain, and neither side of it."""

from collections.abc import Iterable

from spikequant.search.rows import Row, words

# Papers that print gains: the tag of the method, and that of the baseline.
SIDES = {"stompp": ("stompp", "ste")}


def with_gains(paper: str, rows: Iterable[Row]) -> list[Row]:
    """The rows, and a row of ``gain`` for each two that differ in the method alone; no more where the paper prints no gain.

    Equation: ``gain = accuracy(method) - accuracy(baseline)``, of one seed and with all other tags alike, which are the row's.

    >>> rows = [Row(words("stompp bnn"), {"accuracy": 0.75}, 0), Row(words("ste bnn"), {"accuracy": 0.5}, 0)]
    >>> with_gains("stompp", rows)[-1]
    Row(tags=frozenset({'bnn'}), measures={'gain': 0.25}, seed=0)
    """
    rows = list(rows)
    if paper not in SIDES:
        return rows
    method, baseline = map(words, SIDES[paper])
    measured = {(row.tags, row.seed): row.measures["accuracy"] for row in rows if "accuracy" in row.measures}
    return rows + [
        Row(tags - method, {"gain": accuracy - measured[other]}, seed)
        for (tags, seed), accuracy in measured.items()
        if method <= tags and (other := (tags - method | baseline, seed)) in measured
    ]
