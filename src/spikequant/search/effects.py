"""The effects that a claim is about: one for each case that its rows hold, with its standard error."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from spikequant.search.claims import Claim
from spikequant.search.correlations import Effect, correlations
from spikequant.search.noise import Noise, Scale, on_scale
from spikequant.search.rows import Row, Tags, words

Values = Mapping[int | None, float]  # by seed
Cells = Mapping[Tags, Values]
NoiseOf = Callable[[str, Scale], Noise | None]


def effects(claim: Claim, rows: Iterable[Row], noise: NoiseOf) -> list[Effect]:
    """The effects of a claim in these rows; ``noise`` gives that of a single run, used where a case has but one seed."""
    chosen = [row for row in rows if any(words(text) <= row.tags for text in claim.each)]
    if claim.compare == "correlation":
        return list(correlations(claim, chosen))
    scale: Scale = claim.compare
    found = list[Effect]()
    for case, left, right in _cases(claim, _cells(chosen, claim.measure)):
        found.append(_effect(case, left, right, scale, noise(claim.measure, scale)))
    return sorted(found)


def _cells(rows: Iterable[Row], measure: str) -> Cells:
    cells: dict[Tags, dict[int | None, float]] = {}
    for row in rows:
        if measure in row.measures:
            cells.setdefault(row.tags, {})[row.seed] = row.measures[measure]
    return cells


def _cases(claim: Claim, cells: Cells) -> Iterator[tuple[str, Values, Values | None]]:
    of = words(claim.of)
    left = {tags: values for tags, values in cells.items() if of <= tags}
    if claim.along:
        for (before, after), (tags, values) in ((step, cell) for step in pairwise(claim.along) for cell in left.items()):
            if after in tags and (earlier := left.get(tags - {after} | {before})) is not None:
                yield _named(tags - {after} | {f"{before}-{after}"}), values, earlier
    elif claim.against is None:
        for tags, values in left.items():
            yield _named(tags), values, None
    else:
        against = words(claim.against)
        right = {tags - against: values for tags, values in cells.items() if against <= tags}
        for tags, values in left.items():
            # A float baseline bears fewer tags than what is compared with it: neither a table nor a range. One run may stand for two
            # configurations, and is then compared with either.
            fitting = [other for other in right if other <= tags - of]
            nearest = [other for other in fitting if len(other) == max(map(len, fitting))]
            for rest in nearest:
                yield _named(tags if len(nearest) == 1 else of | rest), values, right[rest]


def _named(tags: Tags) -> str:
    return " ".join(sorted(tags))


def _effect(case: str, left: Values, right: Values | None, scale: Scale, noise: Noise | None) -> Effect:
    sides = [left] if right is None else [left, right]
    seeds = sorted(set.intersection(*(set(side) for side in sides)), key=str)
    if len(seeds) > 1:
        drawn = [_difference([side[seed] for side in sides], scale) for seed in seeds]
        mean = sum(drawn) / len(drawn)
        variance = sum((value - mean) ** 2 for value in drawn) / (len(drawn) - 1)
        return Effect(case, mean, math.sqrt(variance / len(drawn)), len(drawn) - 1, len(drawn))
    means = [sum(side.values()) / len(side) for side in sides]
    fewest = min(len(side) for side in sides)
    error = None if noise is None else noise.deviation * math.sqrt(sum(1 / len(side) for side in sides))
    return Effect(case, _difference(means, scale), error, 0 if noise is None else noise.pairs, fewest)


def _difference(sides: list[float], scale: Scale) -> float:
    value, *other = (on_scale(side, scale) for side in sides)
    return value - (other[0] if other else 0.0)
