"""Q-SpiNN's Fig. 11, its selection (Table II) and its question of rounding for the supervised network, over the rows beside this file.

python results/qspinn-supervised/selection.py
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

from spikequant.search import PUBLISHED_MU, Row, Scored, bearing, select
from spikequant.studies import study_rows

PARTS, ROUNDINGS = ("weights", "neurons", "both"), ("truncate", "nearest", "stochastic")
FRACTIONS = (16, 14, 12, 10, 8, 6, 4, 2)
MEASURES = {"validation_accuracy": "held out", "accuracy": "test"}
TOLERANCE = 0.02


def main() -> None:
    """The accuracy of every configuration over seeds, what roundings differ by, and for every mu the highest reward."""
    rows = list(study_rows(Path(__file__).parent))
    for measure, name in MEASURES.items():
        print(f"{name.capitalize()}, float: {spread([row.measures[measure] for row in bearing(rows, 'float')])}.\n")
        for scheme in ("ptq", "itq"):
            figure11(rows, scheme, measure)
    roundings(rows)
    selection(rows)


def figure11(rows: Sequence[Row], scheme: str, measure: str) -> None:
    """Accuracies over fraction bits, a column for each quantized part and rounding that was run."""
    columns = [f"{part} {rounding}" for part in PARTS for rounding in ROUNDINGS]
    found = {
        (column, f): [row.measures[measure] for row in bearing(rows, f"{scheme} {column} f{f}")] for column in columns for f in FRACTIONS
    }
    kept = [column for column in columns if any(found[column, f] for f in FRACTIONS)]
    print(f"| {scheme}: fraction bits | {' | '.join(kept)} |\n|---|{'---|' * len(kept)}")
    for f in FRACTIONS:
        cells = [spread(found[column, f]) for column in kept]
        if any(cells):
            print(f"| {f} | {' | '.join(cells)} |")
    print()


def roundings(rows: Sequence[Row]) -> None:
    """By how many held-out points stochastic rounding is better, by paired seeds."""
    print("| points above | fraction bits | nearest: weights | neurons | both | truncate: weights | neurons | both |")
    print(f"|---|---|{'---|' * 6}")
    for scheme in ("ptq", "itq"):
        for f in FRACTIONS:
            cells = [gain(rows, f"{scheme} {part} f{f}", other) for other in ("nearest", "truncate") for part in PARTS]
            if any(cells):
                print(f"| {scheme} | {f} | {' | '.join(cells)} |")
    print()


def gain(rows: Sequence[Row], tags: str, other: str) -> str:
    """What stochastic rounding gains over another one, by paired seeds."""
    mine, its = (
        {row.seed: row.measures["validation_accuracy"] for row in bearing(rows, f"{tags} {name}")} for name in ("stochastic", other)
    )
    return spread([mine[seed] - its[seed] for seed in sorted(mine.keys() & its.keys())], "+.1f")


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """The mean in percent with its 95 % interval over seeds (t), or the value of one."""
    if len(values) < 2:
        return "".join(f"{100 * value:{form}}" for value in values)
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / sqrt(len(values))
    return f"{100 * mean(values):{form}} ± {100 * half:.1f}"


def selection(rows: Sequence[Row]) -> None:
    """For every mu, the first seed's network within the tolerance that has the highest reward by held-out recordings."""
    first = [row for row in rows if row.seed == 0]
    (base,) = bearing(first, "float")
    whole, least = base.measures["qspinn_bits"], base.measures["validation_accuracy"] - TOLERANCE
    candidates = [row for row in bearing(first, "ptq") if row.measures["validation_accuracy"] >= least]
    print("| mu | selected | held out / test | memory saving |\n|---|---|---|---|")
    for mu in PUBLISHED_MU:
        scored = [Scored(row.measures["validation_accuracy"], row.measures["qspinn_bits"] / whole) for row in candidates]
        chosen = candidates[select(scored, mu)]
        name = " ".join(sorted(tag for tag in chosen.tags - {"fig11", "ptq"} if not tag.startswith("ptq-")))
        accuracies = " / ".join(f"{chosen.measures[measure]:.1%}" for measure in MEASURES)
        print(f"| {mu:g} | {name} | {accuracies} | {whole / chosen.measures['qspinn_bits']:.3f} |")


if __name__ == "__main__":
    main()
