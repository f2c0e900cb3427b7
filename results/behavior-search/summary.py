"""What the pairs differ by on the test images: seed by seed, then the mean over seeds with its 95 % interval (t).

python results/behavior-search/summary.py
"""

import csv
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

KINDS = {"emd": "least EMD", "traffic": "least traffic", "missed": "missed by accuracy and memory"}
FORMS = ("{:+.1f}", "{:+.0f} %", "{:+.0f} %", "{:+.0f} %")


def main() -> None:
    """One row for each pair of each seed, then one for each kind of pair."""
    rows = [row for path in sorted(Path(__file__).parent.glob("confirmed-s*.csv")) for row in read(path)]
    print("| pair | seed | accuracy, points | EMD above its floor | traffic | memory |\n|---|---|---|---|---|---|")
    for kind, name in KINDS.items():
        seeds = sorted({row["seed"] for row in rows if row["least"] == kind})
        found = [differences([row for row in rows if (row["least"], row["seed"]) == (kind, seed)]) for seed in seeds]
        for seed, values in zip(seeds, found, strict=True):
            print(f"| {name} | {seed} | {' | '.join(form.format(value) for form, value in zip(FORMS, values, strict=True))} |")
        if len(seeds) > 1:
            cells = (
                f"**{form.format(mean(drawn))}** +- {half(drawn):.1f}" for form, drawn in zip(FORMS, zip(*found, strict=True), strict=True)
            )
            print(f"| {name} | mean | {' | '.join(cells)} |")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of one seed."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def differences(pair: Sequence[Mapping[str, str]]) -> tuple[float, ...]:
    """The rival beside what accuracy and memory found: points of accuracy; EMD above its floor, traffic and memory in percent."""
    found, rival = (next(row for row in pair if row["role"] == role) for role in ("found", "rival"))
    excess = float(rival["test_emd"]) - float(rival["test_emd_floor"]), float(found["test_emd"]) - float(found["test_emd_floor"])
    costs = [excess, *((float(rival[name]), float(found[name])) for name in ("test_traffic_bits", "memory_bits"))]
    points = 100 * (float(rival["test_accuracy"]) - float(found["test_accuracy"]))
    return (points, *(100 * (its / mine - 1) for its, mine in costs))


def half(drawn: Sequence[float]) -> float:
    """Half the interval of a mean."""
    return float(t.ppf(0.975, len(drawn) - 1)) * stdev(drawn) / sqrt(len(drawn))


if __name__ == "__main__":
    main()
