"""Whether rows bear a claim out: supported, contradicted, undecided; by intervals, never by single numbers."""

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from spikequant.errors import SpecError
from spikequant.search.claims import Claim
from spikequant.search.correlations import Effect
from spikequant.search.effects import NoiseOf, effects, mean_effect
from spikequant.search.quantile import half_width
from spikequant.search.rows import Row

CONFIDENCE = 0.95
LARGEST = 700.0  # whose exponential is still a float
BACK: dict[str, Callable[[float], float]] = {
    "difference": float,
    "ratio": lambda value: math.exp(min(value, LARGEST)),
    "correlation": math.tanh,
}


class Judged(NamedTuple):
    """One effect in the unit of the claim, with its interval; unbounded where nothing is known of its error."""

    case: str
    value: float
    low: float
    high: float
    seeds: int


class Finding(NamedTuple):
    """What rows say to a claim. ``outside`` counts the cases whose number alone, noise aside, is not as claimed."""

    claim: Claim
    verdict: Literal["supported", "contradicted", "undecided"]
    reason: str
    outside: int
    cases: tuple[Judged, ...]


def judge(claim: Claim, rows: Iterable[Row], noise: NoiseOf = lambda measure, scale: None) -> Finding:
    """The verdict of rows on a claim.

    Supported: the intervals of all effects lie within the claim's bounds. Contradicted: one lies wholly outside. Else undecided.
    Intervals hold together with 95 %: each of n cases has ``1 - 0.05 / n``. ``noise(measure, scale)`` is that of a single run and
    stands in where a case has one seed; None leaves such a case undecided, as a value that has no ratio leaves its claim.

    >>> from spikequant.search.rows import words
    >>> rows = [Row(words(side), {"emd": value + seed / 1000}, seed) for side, value in (("a", 0.5), ("b", 0.2)) for seed in range(3)]
    >>> claim = Claim(name="more", says="a moves more", source="-", measure="emd", of="a", against="b", least=0.1)
    >>> judge(claim, rows).verdict
    'supported'
    """
    try:
        found = effects(claim, rows, noise)
    except SpecError as error:  # a silent network has no ratio; the other claims are judged all the same
        return Finding(claim, "undecided", str(error), 0, ())
    if not found:
        return Finding(claim, "undecided", "no row that it speaks of", 0, ())
    kept = [mean_effect(found)] if claim.holds == "mean" else found
    back = BACK[claim.compare]
    judged = tuple(_judged(effect, 1 - (1 - CONFIDENCE) / len(kept), back) for effect in kept)
    outside = sum(not _within(claim, case.value, case.value) for case in judged)
    verdict, reason = _verdict(claim, judged)
    few = [case for case in judged if 1 < case.seeds < claim.seeds]
    if verdict != "undecided" and few and claim.compare != "correlation":
        verdict, reason = "undecided", f"{few[0].seeds} seeds in {few[0].case!r}, the claim asks for {claim.seeds}"
    return Finding(claim, verdict, reason, outside, judged)


def _verdict(claim: Claim, cases: tuple[Judged, ...]) -> tuple[Literal["supported", "contradicted", "undecided"], str]:
    against = [case for case in cases if _beyond(claim, case)]
    if against:
        worst = max(against, key=lambda case: _distance(claim, case.value))
        return "contradicted", f"{len(against)} of {len(cases)} cases, most {worst.case!r}: {_shown(worst)}"
    open_ = [case for case in cases if not _within(claim, case.low, case.high)]
    if open_:
        widest = max(open_, key=lambda case: case.high - case.low)
        return "undecided", f"{len(open_)} of {len(cases)} cases reach over a bound, most {widest.case!r}: {_shown(widest)}"
    return "supported", f"all of {len(cases)} cases"


def _shown(case: Judged) -> str:
    return f"{case.value:.4g} [{case.low:.4g}, {case.high:.4g}]"


def _judged(effect: Effect, confidence: float, back: Callable[[float], float]) -> Judged:
    if effect.error is None:
        return Judged(effect.case, back(effect.value), -math.inf, math.inf, effect.seeds)
    reach = effect.error * half_width(confidence, effect.freedom)
    return Judged(effect.case, back(effect.value), back(effect.value - reach), back(effect.value + reach), effect.seeds)


def _within(claim: Claim, low: float, high: float) -> bool:
    return (claim.least is None or low >= claim.least) and (claim.most is None or high <= claim.most)


def _beyond(claim: Claim, case: Judged) -> bool:
    return (claim.least is not None and case.high < claim.least) or (claim.most is not None and case.low > claim.most)


def _distance(claim: Claim, value: float) -> float:
    return max(
        (claim.least or 0.0) - value if claim.least is not None else -math.inf, value - claim.most if claim.most is not None else -math.inf
    )
