"""The effects that a claim is about: one for each case that its rows hold, with its standard error."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from statistics import NormalDist

from spikequant.search.claims import Claim
from spikequant.search.correlations import Effect, correlations
from spikequant.search.noise import Noise, Scale, on_scale
from spikequant.search.rows import Row, Tags, words

Values = Mapping[int | None, float]  # by seed
Cells = Mapping[Tags, Values]
MANY = 10**6  # degrees of freedom
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
    return sorted(_with_floor(claim, chosen, found), key=lambda effect: effect.case)


def mean_effect(found: list[Effect]) -> Effect:
    """The mean of all effects: within each seed first, since cases of one seed share networks; where no two seeds have all cases, errors
    are taken to be independent."""
    seeds = sorted(set.intersection(*(set(effect.drawn) for effect in found)), key=str)
    if len(seeds) > 1:
        return _spread("the mean", {seed: _mean([effect.drawn[seed] for effect in found]) for seed in seeds})
    errors = [effect.error for effect in found if effect.error is not None]
    error = math.hypot(*errors) / len(found) if len(errors) == len(found) else None
    value = _mean([effect.value for effect in found])
    return Effect("the mean", value, error, min(effect.freedom for effect in found), min(effect.seeds for effect in found))


def _with_floor(claim: Claim, rows: Iterable[Row], found: Iterable[Effect]) -> Iterator[Effect]:
    """All seeds of an excess share one floor, whose own error their spread does not hold; unknown, it leaves nothing known."""
    if claim.floor is None:
        yield from found
        return
    ends = [f"{claim.floor}_{end}" for end in ("low", "high")]
    errors = {_named(row.tags): _error(*(row.measures[end] for end in ends)) for row in rows if set(ends) <= row.measures.keys()}
    for effect in found:
        floor = errors.get(effect.case)
        if effect.error is None or floor is None:
            yield effect._replace(error=None)
        else:
            both = math.hypot(effect.error, floor)  # of Satterthwaite's degrees of freedom: the floor's error is taken as known
            freedom = int(effect.freedom * (both / effect.error) ** 4) if effect.error > 0 else MANY
            yield effect._replace(error=both, freedom=min(freedom, MANY), drawn={})


def _error(low: float, high: float) -> float:
    """The standard error whose normal interval of 95 % is as wide."""
    return (high - low) / 2 / NormalDist().inv_cdf(0.975)


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
    drawn = {seed: _difference([side[seed] for side in sides], scale) for seed in seeds}
    if len(seeds) > 1:
        return _spread(case, drawn)
    means = [_mean(list(side.values())) for side in sides]
    fewest = min(len(side) for side in sides)
    error = None if noise is None else noise.deviation * math.sqrt(sum(1 / len(side) for side in sides))
    return Effect(case, _difference(means, scale), error, 0 if noise is None else noise.pairs, fewest, drawn)


def _spread(case: str, drawn: Values) -> Effect:
    """The mean over seeds with its standard error."""
    mean, count = _mean(list(drawn.values())), len(drawn)
    variance = sum((value - mean) ** 2 for value in drawn.values()) / (count - 1)
    return Effect(case, mean, math.sqrt(variance / count), count - 1, count, drawn)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _difference(sides: list[float], scale: Scale) -> float:
    value, *other = (on_scale(side, scale) for side in sides)
    return value - (other[0] if other else 0.0)
