"""Q-SpiNN's Algorithm 1 beside brute force and ours, after training: which candidates each finds, and how many it evaluates.

python results/qspinn-exploration/algorithm1.py OUT            # SQUAT's network; Fashion-MNIST under SPIKEQUANT_DATA
python results/qspinn-exploration/algorithm1.py OUT FOLDER     # a trained stdp-net in FOLDER; MNIST under SPIKEQUANT_DATA

Fractions 12, 8, 6, 4 and 2 of weights, membrane and threshold, each on its own, to the nearest: 125 candidates, judged on the last 1 000
training images. The stdp-net was shown these, too, without labels; SQUAT's network, of 5 time steps and a threshold of 1, was not. Every
candidate is evaluated once; the strategies are then asked from that table.
"""

import csv
import sys
from pathlib import Path

from spikequant.data import Batches, DataSet, Split, load
from spikequant.models import Network, build
from spikequant.quantizers import FixedPoint
from spikequant.recipes import Recipe, memory, quantize
from spikequant.recipes import load as load_network
from spikequant.search import Candidate, Shape, Verdict, asked, every, halving, published
from spikequant.training import Training, evaluate, fit

FRACTIONS, ROUNDINGS = (12, 8, 6, 4, 2), ("nearest",)
SHAPE = Shape((len(FRACTIONS),) * 3, roundings=len(ROUNDINGS))
TOLERANCES = (0.01, 0.02, 0.05)
TRAINED, JUDGED = 10_000, 1_000
STRATEGIES = {"every": every, "published": published, "halving": halving}
COLUMNS = ("weights", "membrane", "threshold", "rounding", "accuracy", "memory_bits")


def main(out: Path, trained: Path | None) -> None:
    """One network."""
    if trained is not None:
        told(load_network(trained), judging(load("mnist")), 11, out / "unsupervised.csv")
        return
    data = load("fashion-mnist")
    network = build("squat-fmnist", seed=0, time=5, threshold=1.0)
    first = Split(data.train.x[:TRAINED], data.train.y[:TRAINED])
    fit(network, Batches(first, 100, data.scale, seed=0), Training(epochs=3, lr=5e-3))
    told(network, judging(data), 4, out / "squat-fmnist.csv")


def judging(data: DataSet) -> Batches:
    """Training images to judge by."""
    return Batches(Split(data.train.x[-JUDGED:], data.train.y[-JUDGED:]), 200, data.scale)


def told(model: Network, images: Batches, integer: int, table: Path) -> None:
    """Evaluate every candidate, then ask each strategy."""
    known: dict[Candidate, tuple[float, int]] = {}
    for candidate in asked(every(SHAPE), lambda _: Verdict(True)):
        small = quantize(model, recipe(candidate, integer))
        known[candidate] = (evaluate(small, images), memory(small).total_bits)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((*named(each), *values) for each, values in known.items())
    float_ = evaluate(model, images)
    print(f"{model.wiring.name}: float {float_:.3f}")
    for tolerance in TOLERANCES:
        report(known, float_ - tolerance)


def report(known: dict[Candidate, tuple[float, int]], least: float) -> None:
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
