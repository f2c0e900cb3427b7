"""Q-SpiNN's Algorithm 1 beside brute force and ours, after training: which candidates each finds, and how many it evaluates.

python results/qspinn-exploration/algorithm1.py OUT FOLDER    # a trained stdp-net or squat-fmnist; its data under SPIKEQUANT_DATA
python results/qspinn-exploration/algorithm1.py OUT           # ask again, from the tables in OUT

Fractions 12, 8, 6, 4 and 2 of weights, membrane and threshold, each on its own, to the nearest: 125 candidates, judged on the last 1 000
training images, which both networks were shown while they learned (stdp-net without labels). Every candidate is evaluated once; the
strategies are then asked from that table.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spikequant.data import Batches, Split, load
from spikequant.models import Network
from spikequant.quantizers import FixedPoint
from spikequant.recipes import Recipe, memory, quantize
from spikequant.recipes import load as load_network
from spikequant.search import Candidate, Shape, Verdict, asked, every, halving, published
from spikequant.training import evaluate

FRACTIONS, ROUNDINGS = (12, 8, 6, 4, 2), ("nearest",)
SHAPE = Shape((len(FRACTIONS),) * 3, roundings=len(ROUNDINGS))
TOLERANCES = (0.01, 0.02, 0.05)
JUDGED = 1_000
STRATEGIES = {"every": every, "published": published, "halving": halving}
SPACE = list(asked(every(SHAPE), lambda _: Verdict(True)))
COLUMNS = ("weights", "membrane", "threshold", "rounding", "accuracy", "memory_bits")
Known = dict[Candidate, tuple[float, int]]


class Case(NamedTuple):
    """What a network is judged on, the integer bits of its membranes, and its table."""

    data: str
    integer: int
    table: str


CASES = {"stdp-net": Case("mnist", 11, "unsupervised"), "squat-fmnist": Case("fashion-mnist", 4, "squat-fmnist")}


def main(out: Path, trained: Path | None) -> None:
    """Evaluate what is asked for, then ask each strategy about every network that is known."""
    if trained is not None:
        model = load_network(trained)
        case = CASES[model.wiring.name]
        write(out / f"{case.table}.csv", evaluated(model, case))
    for table in sorted(out.glob("*.csv")):
        float_, known = read(table)
        print(f"{table.stem}: float {float_:.3f}")
        for tolerance in TOLERANCES:
            report(known, float_ - tolerance)


def evaluated(model: Network, case: Case) -> Iterator[tuple[object, ...]]:
    """A row for the float network, then one for every candidate."""
    data = load(case.data)
    images = Batches(Split(data.train.x[-JUDGED:], data.train.y[-JUDGED:]), 200, data.scale)
    yield "float", "", "", "", evaluate(model, images), memory(model).total_bits
    for candidate in SPACE:
        small = quantize(model, recipe(candidate, case.integer))
        yield *named(candidate), evaluate(small, images), memory(small).total_bits


def write(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    """Rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def read(path: Path) -> tuple[float, Known]:
    """The float network's accuracy, and accuracy and bits of every candidate."""
    with path.open(newline="") as file:
        first, *rows = csv.DictReader(file)
    values = [(float(row["accuracy"]), int(row["memory_bits"])) for row in rows]
    return float(first["accuracy"]), dict(zip(SPACE, values, strict=True))


def report(known: Known, least: float) -> None:
    """What each strategy finds."""

    def judge(candidate: Candidate) -> Verdict:
        return Verdict(known[candidate][0] >= least - 1e-12)

    print(f"  accuracy at least {least:.3f}: passing {sum(value[0] >= least - 1e-12 for value in known.values())} of {len(known)}")
    for name, strategy in STRATEGIES.items():
        found = asked(strategy(SHAPE), judge)
        passing = [each for each, verdict in found.items() if verdict.passed]
        best = min((known[each][1] for each in passing), default=None)
        print(f"    {name}: {len(found)} evaluated, {len(passing)} candidates, the smallest of {best} bits")


def recipe(candidate: Candidate, integer: int) -> Recipe:
    """The recipe of a candidate; V_reset and theta keep the paper's eight bits."""
    weights, membrane, threshold = (FRACTIONS[level] for level in candidate.levels)
    rounding = ROUNDINGS[candidate.rounding]
    held = {"v": FixedPoint(integer=integer, fraction=membrane, rounding=rounding)}
    constants = {"threshold": FixedPoint(integer=integer, fraction=threshold, rounding=rounding)}
    return Recipe(weights=FixedPoint(integer=1, fraction=weights, rounding=rounding), state=held, constants=constants)


def named(candidate: Candidate) -> tuple[object, ...]:
    """A candidate as a row begins."""
    return (*(FRACTIONS[level] for level in candidate.levels), ROUNDINGS[candidate.rounding])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
