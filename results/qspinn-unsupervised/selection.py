"""Q-SpiNN's Fig. 10 and its selection (Table II) over the rows beside this file.

python results/qspinn-unsupervised/selection.py
"""

from collections.abc import Sequence
from pathlib import Path

from spikequant.search import PUBLISHED_MU, Row, Scored, bearing, select
from spikequant.studies import study_rows

ROUNDINGS = ("truncate", "nearest", "stochastic")
FRACTIONS = (16, 12, 10, 8, 6, 4, 2, 0)


def main() -> None:
    """The accuracy of every configuration, then for every mu the one of the highest reward."""
    rows = [row for row in study_rows(Path(__file__).parent) if row.seed == 0]
    for scheme in ("ptq", "itq on_change", "itq in_place"):
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


def figure10(rows: Sequence[Row], scheme: str) -> None:
    """Accuracy over fraction bits, a column for each quantized part and rounding."""
    parts = [f"{part} {rounding}" for part in ("weights", "neurons", "both") for rounding in ROUNDINGS]
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
