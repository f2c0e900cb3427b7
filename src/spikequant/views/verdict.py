"""What a report says first: which variants keep accuracy, how far their firing spreads, which ones tell it best."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from spikequant.behavior import Drift
from spikequant.views.record import Record, Variant
from spikequant.views.wording import distance, multiple, percent, points

WITHIN = 0.01


@dataclass(frozen=True)
class Verdict:
    """One sentence with numbers, what follows from it, and the variants that show it, marked A, B, C."""

    sentence: str
    consequence: str
    telling: dict[str, Variant]

    @property
    def drifts(self) -> dict[str, Drift]:
        """The telling variants whose firing is known layer by layer."""
        return {mark: variant.drift for mark, variant in self.telling.items() if variant.drift is not None}


def kept(record: Record) -> list[Variant]:
    """The variants that lose at most one point of accuracy, the most faithful first."""
    base = record.reference.accuracy
    if base is None:
        return []
    near = [variant for variant in record.variants if variant.accuracy is not None and variant.accuracy >= base - WITHIN - 1e-12]
    return sorted(near, key=lambda variant: variant.emd)


def alike(variants: Sequence[Variant]) -> tuple[Variant, Variant] | None:
    """Of variants within one point of each other, the pair whose EMDs lie farthest apart, the smaller first.

    Pairs of the same bits that were made the same way tell more, and go before others where sampling does not explain them.
    """
    pairs = [
        (first, second)
        for first, second in combinations(sorted(variants, key=lambda variant: variant.emd), 2)
        if abs((first.accuracy or 0) - (second.accuracy or 0)) <= WITHIN + 1e-12
    ]
    akin = [(first, second) for first, second in pairs if _kind(first) == _kind(second) and second.emd > second.emd_floor]
    return max(akin or pairs, key=lambda pair: pair[1].emd - pair[0].emd, default=None)


def _kind(variant: Variant) -> tuple[int | None, int | None, str]:
    return variant.bits, variant.state_bits, variant.scheme


def verdict(record: Record) -> Verdict:
    """The verdict of a record of one variant or many."""
    if not record.variants:
        return _of_trials(record)
    if len(record.variants) == 1:
        return _of_one(record)
    near = kept(record)
    pair = alike(near)
    return _of_pair(record, near, pair) if pair else _of_none(record, near)


def _of_trials(record: Record) -> Verdict:
    rated = {trial.name: trial.measures.get("accuracy") for trial in record.trials}
    known = sorted((accuracy, name) for name, accuracy in rated.items() if accuracy is not None)
    spread = f": accuracy from {percent(known[0][0])} ({known[0][1]}) to {percent(known[-1][0])} ({known[-1][1]})" if known else ""
    return Verdict(f"{len(rated)} trials{spread}.", "Their firing was not compared with a reference.", {})


def _of_one(record: Record) -> Verdict:
    variant = record.variants[0]
    above = variant.emd > variant.emd_floor
    sentence = f"The firing of {variant.name} differs from that of {record.reference.name} by an EMD of {distance(variant.emd)}, "
    sentence += _against(variant.emd, variant.emd_floor) + "."
    if record.reference.accuracy is not None and variant.accuracy is not None:
        sentence += f" Accuracy goes from {percent(record.reference.accuracy)} to {percent(variant.accuracy)}."
    return Verdict(sentence, _worst(variant) if above else "No layer needs attention on this evidence.", {"A": variant})


def _worst(variant: Variant) -> str:
    if variant.drift is None:
        return ""
    worst = max(variant.drift.layers, key=lambda layer: layer.emd)
    return f"Layer {worst.name} drifts most: EMD {distance(worst.emd)}, {_cause(worst.emd_mean_shift, worst.emd)}."


def _of_pair(record: Record, near: Sequence[Variant], pair: tuple[Variant, Variant]) -> Verdict:
    low, high = pair
    sentence = (
        f"{len(near)} of {len(record.variants)} variants keep accuracy within 1 point of float ({percent(record.reference.accuracy)})"
    )
    floor, spread = max(variant.emd_floor for variant in near), f"{distance(near[0].emd)} to {distance(near[-1].emd)}"
    if near[-1].emd <= floor:
        sentence += f", and none of them fires measurably differently: EMD {spread}, where sampling alone gives {distance(floor)}."
    else:
        sentence += f", yet their firing drifts from it by an EMD of {spread}, where sampling alone gives {distance(floor)}."
    apart = abs((low.accuracy or 0) - (high.accuracy or 0))
    same = ", of the same bits" if _kind(low) == _kind(high) else ""
    consequence = (
        f"The pair that tells most{same}: {low.name} ({percent(low.accuracy)}, EMD {distance(low.emd)}) and "
        f"{high.name} ({percent(high.accuracy)}, EMD {distance(high.emd)}) are {points(apart)} apart in accuracy; "
        f"the second drifts {_against(high.emd, high.emd_floor)}."
    )
    return Verdict(sentence, consequence, {"A": low, "B": high} | _farthest(record, pair))


def _of_none(record: Record, near: Sequence[Variant]) -> Verdict:
    ranked = sorted(record.variants, key=lambda variant: variant.emd)
    spread = f"their EMD from it runs from {distance(ranked[0].emd)} to {distance(ranked[-1].emd)}"
    if record.reference.accuracy is None:
        sentence = f"{len(ranked)} variants were compared with {record.reference.name}: {spread}."
    elif len(near) > 1:
        sentence = f"{len(near)} of {len(ranked)} variants keep accuracy within 1 point of float, no two of them alike in it; {spread}."
    elif near:
        sentence = f"Only {near[0].name} of {len(ranked)} variants keeps accuracy within 1 point of float; {spread}."
    else:
        sentence = (
            f"None of {len(ranked)} variants keeps accuracy within 1 point of float ({percent(record.reference.accuracy)}); {spread}."
        )
    first, last = (near or ranked)[0], ranked[-1]
    telling = {"A": first} if first is last else {"A": first, "B": last}
    return Verdict(sentence, f"{ranked[0].name} fires most like float, {ranked[-1].name} least.", telling)


def _farthest(record: Record, pair: tuple[Variant, Variant]) -> dict[str, Variant]:
    worst = max(record.variants, key=lambda variant: variant.emd)
    return {} if worst in pair else {"C": worst}


def _against(emd: float, floor: float) -> str:
    if floor <= 0:
        return "with a sampling floor of 0"
    if emd <= floor:
        return f"no more than the sampling floor ({distance(floor)})"
    return f"{multiple(emd, floor)} the sampling floor ({distance(floor)})"


def _cause(mean_shift: float, emd: float) -> str:
    share = mean_shift / emd if emd else 0.0
    return "mostly a shift that its channels share" if share > 0.5 else "mostly channels shifting apart"
