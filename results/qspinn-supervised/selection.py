"""Q-SpiNN's Fig. 11 and its selection (Table II) for the supervised network, over the rows beside this file.

python results/qspinn-supervised/selection.py
"""

from collections.abc import Sequence
from pathlib import Path

from spikequant.search import PUBLISHED_MU, Row, Scored, bearing, select
from spikequant.studies import study_rows

PARTS, ROUNDINGS = ("weights", "neurons", "both"), ("truncate", "nearest", "stochastic")
FRACTIONS = (16, 14, 12, 10, 8, 6, 4, 2)
TOLERANCE = 0.02


def main() -> None:
    """The accuracy of every configuration, then for every mu the one of the highest reward, by held-out recordings."""
    rows = [row for row in study_rows(Path(__file__).parent) if row.seed == 0]
    (base,) = bearing(rows, "float")
    print(f"Float: {said(base)}.\n")
    for scheme in ("ptq", "itq"):
        figure11(rows, scheme)
    whole, least = base.measures["qspinn_bits"], base.measures["validation_accuracy"] - TOLERANCE
    candidates = [row for row in bearing(rows, "ptq") if row.measures["validation_accuracy"] >= least]
    print("| mu | selected | held out / test | memory saving |\n|---|---|---|---|")
    for mu in PUBLISHED_MU:
        scored = [Scored(row.measures["validation_accuracy"], row.measures["qspinn_bits"] / whole) for row in candidates]
        chosen = candidates[select(scored, mu)]
        name = " ".join(sorted(tag for tag in chosen.tags - {"fig11", "ptq"} if not tag.startswith("ptq-")))
        print(f"| {mu:g} | {name} | {said(chosen)} | {whole / chosen.measures['qspinn_bits']:.3f} |")


def figure11(rows: Sequence[Row], scheme: str) -> None:
    """Accuracies over fraction bits, a column for each quantized part and rounding that was run."""
    columns = [f"{part} {rounding}" for part in PARTS for rounding in ROUNDINGS]
    found = {(column, f): bearing(rows, f"{scheme} {column} f{f}") for column in columns for f in FRACTIONS}
    kept = [column for column in columns if any(found[column, f] for f in FRACTIONS)]
    if not kept:
        return
    print(f"| {scheme}: fraction bits | {' | '.join(kept)} |\n|---|{'---|' * len(kept)}")
    for f in FRACTIONS:
        cells = [said(found[column, f][0]) if found[column, f] else "" for column in kept]
        if any(cells):
            print(f"| {f} | {' | '.join(cells)} |")
    print()


def said(row: Row) -> str:
    """Held-out and test accuracy."""
    return f"{row.measures['validation_accuracy']:.1%} / {row.measures['accuracy']:.0%}"


if __name__ == "__main__":
    main()
