"""Q-SpiNN's selection (Table II) over the post-training rows beside this file.

python results/qspinn-unsupervised/selection.py
"""

from pathlib import Path

from spikequant.search import PUBLISHED_MU, Scored, bearing, select
from spikequant.studies import study_rows


def main() -> None:
    """For every mu the configuration of the highest reward."""
    rows = study_rows(Path(__file__).parent)
    (base,) = bearing(rows, "float")
    whole = base.measures["qspinn_bits"]
    candidates = [row for row in bearing(rows, "ptq") if row.measures["accuracy"] >= base.measures["accuracy"] - 0.01]
    print("| mu | selected | accuracy | memory saving |\n|---|---|---|---|")
    for mu in PUBLISHED_MU:
        scored = [Scored(row.measures["accuracy"], row.measures["qspinn_bits"] / whole) for row in candidates]
        chosen = candidates[select(scored, mu)]
        name = " ".join(sorted(chosen.tags - {"fig10", "ptq"} - {tag for tag in chosen.tags if tag.startswith("ptq-")}))
        print(f"| {mu:g} | {name} | {chosen.measures['accuracy']:.2%} | {whole / chosen.measures['qspinn_bits']:.3f} |")


if __name__ == "__main__":
    main()
