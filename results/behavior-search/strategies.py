"""Search strategies on the candidates beside this file, each of which was evaluated: what share of the whole front's volume each reaches.

python results/behavior-search/strategies.py
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spikequant.search import Candidate, Shape, Verdict, asked, every, hypervolume, strategy

SHAPE = Shape((2, 6, 2, 2, 2))  # time, state, weights of three layers: the space of search.py
OBJECTIVES = ("accuracy", "memory", "emd", "traffic")
NAMES, BUDGETS, DRAWS = ("every", "published", "halving", "sensitivity", "tpe", "nsga2", "nsga3", "random"), (12, 24, 48), 5
MAX_DROP = 0.02


def main() -> None:
    """One row for each strategy: evaluations that it asked for, and the share after so many of them, a mean over seeds and draws."""
    tables = [table(path) for path in sorted(Path(__file__).parent.glob("candidates-s*.csv"))]
    after = " | ".join(f"share after {budget}" for budget in BUDGETS)
    print(f"| strategy | evaluations | {after} | at its end |\n|---|---|{'---|' * (len(BUDGETS) + 1)}")
    for name in NAMES:
        draws = DRAWS if name in ("tpe", "nsga2", "nsga3", "random") else 1
        found = [run(name, known, draw) for known in tables for draw in range(draws)]
        mean = np.mean([shares for _, shares in found], axis=0)
        print(f"| {name} | {np.mean([count for count, _ in found]):.0f} | {' | '.join(f'{share:.2f}' for share in mean)} |")


def table(path: Path) -> dict[Candidate, Verdict]:
    """Every candidate, in the order in which ``every`` asks: whether it is near the most accurate, and its costs scaled to [0, 1]."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    costs = np.array([[1 - float(row["accuracy"]), *(float(row[name]) for name in ("memory_bits", "emd", "traffic_bits"))] for row in rows])
    scaled = (costs - costs.min(0)) / (costs.max(0) - costs.min(0))
    near = costs[:, 0] <= costs[:, 0].min() + MAX_DROP
    told = [Verdict(bool(passed), tuple(cost)) for passed, cost in zip(near, scaled.tolist(), strict=True)]
    return dict(zip(asked(every(SHAPE), lambda _: Verdict(True)), told, strict=True))


def run(name: str, known: dict[Candidate, Verdict], seed: int) -> tuple[int, list[float]]:
    """How many candidates a strategy asks for (samplers at most half of all), and its shares of the volume."""
    order = list(asked(strategy(name, SHAPE, OBJECTIVES, BUDGETS[-1], seed), known.__getitem__))
    whole = volume(known.values())
    return len(order), [volume([known[each] for each in order[:count]]) / whole for count in (*BUDGETS, len(order))]


def volume(verdicts: Iterable[Verdict]) -> float:
    """What the front of these dominates, up to a little beyond the worst."""
    return hypervolume([each.costs for each in verdicts], [1.01] * len(OBJECTIVES))


if __name__ == "__main__":
    main()
