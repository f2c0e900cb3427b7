"""Q-SpiNN's Figs. 1 and 10, its selection (Table II) and its question of rounding over the rows beside this file.

python results/qspinn-unsupervised/selection.py
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

from spikequant.search import PUBLISHED_MU, Row, Scored, bearing, select
from spikequant.studies import study_rows

SCHEMES, PARTS, SIZES = ("ptq", "itq on_change", "itq in_place"), ("weights", "neurons", "both"), (100, 225, 400, 900, 1600)
ROUNDINGS = ("truncate", "nearest", "stochastic")
FRACTIONS = (16, 12, 10, 8, 6, 4, 2, 0)


def main() -> None:
    """The accuracy of every configuration of the first seed, for every mu the one of the highest reward, and what roundings differ by."""
    every = list(study_rows(Path(__file__).parent))
    rows = [row for row in every if row.seed == 0]
    sizes(rows)
    for scheme in SCHEMES:
        figure10(rows, scheme)
    (base,) = bearing(rows, "float")
    whole = base.measures["qspinn_bits"]
    candidates = [row for row in bearing(rows, "ptq") if row.measures["accuracy"] >= base.measures["accuracy"] - 0.01]
    print("| mu | selected | accuracy | memory saving |\n|---|---|---|---|")
    for mu in PUBLISHED_MU:
        scored = [Scored(row.measures["accuracy"], row.measures["qspinn_bits"] / whole) for row in candidates]
        chosen = candidates[select(scored, mu)]
        name = " ".join(sorted(chosen.tags - {"fig10", "ptq"} - {tag for tag in chosen.tags if tag.startswith("ptq-")}))
        print(f"| {mu:g} | {name} | {chosen.measures['accuracy']:.2%} | {whole / chosen.measures['qspinn_bits']:.3f} |")
    print()
    roundings(every)


def sizes(rows: Sequence[Row]) -> None:
    """Accuracy and memory over the number of neurons, in float."""
    found = {size: bearing(rows, f"sizes n{size}" if size != 400 else "float fig10") for size in SIZES}
    print("| neurons | accuracy | memory, MB |\n|---|---|---|")
    for size, (row,) in ((size, some) for size, some in found.items() if some):
        print(f"| {size} | {row.measures['accuracy']:.1%} | {row.measures['qspinn_bits'] / 8e6:.2f} |")
    print()


def roundings(rows: Sequence[Row]) -> None:
    """By how many points stochastic rounding is better, each a mean over seeds with its 95 % interval (t), or one seed's."""
    print("| points above | fraction bits | nearest: weights | neurons | both | truncate: weights | neurons | both |")
    print(f"|---|---|{'---|' * 6}")
    for scheme in SCHEMES:
        for f in FRACTIONS:
            cells = [gain(rows, f"{scheme} {part} f{f}", other) for other in ("nearest", "truncate") for part in PARTS]
            if any(cells):
                print(f"| {scheme} | {f} | {' | '.join(cells)} |")


def gain(rows: Sequence[Row], tags: str, other: str) -> str:
    """What stochastic rounding gains over another one, by paired seeds."""
    mine, its = ({row.seed: row.measures["accuracy"] for row in bearing(rows, f"{tags} {name}")} for name in ("stochastic", other))
    drawn = [100 * (mine[seed] - its[seed]) for seed in mine.keys() & its.keys()]
    if len(drawn) < 2:
        return "".join(f"{value:+.1f}" for value in drawn)
    return f"**{mean(drawn):+.1f} +- {t.ppf(0.975, len(drawn) - 1) * stdev(drawn) / sqrt(len(drawn)):.1f}** ({len(drawn)})"


def figure10(rows: Sequence[Row], scheme: str) -> None:
    """Accuracy over fraction bits, a column for each quantized part and rounding."""
    parts = [f"{part} {rounding}" for part in PARTS for rounding in ROUNDINGS]
    found = {(part, f): bearing(rows, f"{scheme} {part} f{f}") for part in parts for f in FRACTIONS}
    kept = [part for part in parts if any(found[part, f] for f in FRACTIONS)]
    if not kept:
        return
    print(f"| {scheme}: fraction bits | {' | '.join(kept)} |\n|---|{'---|' * len(kept)}")
    for f in FRACTIONS:
        cells = [f"{found[part, f][0].measures['accuracy']:.1%}" if found[part, f] else "" for part in kept]
        if any(cells):
            print(f"| {f} | {' | '.join(cells)} |")
    print()


if __name__ == "__main__":
    main()
