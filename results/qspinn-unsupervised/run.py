"""Q-SpiNN's Fig. 10 on MNIST: float, post-training and in-training fixed point of the unsupervised network, row by row into results.csv.

    python results/qspinn-unsupervised/run.py float ptq itq FOLDER_OF_THE_FLOAT_NETWORK

Rows that are there already are not run again. One seed; labels come from the first 10 000 training images.
"""

import csv
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import spikequant as sq
from spikequant.data import Batches, load
from spikequant.data.dataset import Split
from spikequant.training import Stdp, assign, learn, voted

HERE = Path(__file__).parent
KEY = ["scheme", "part", "fraction", "rounding", "holding", "labels", "train_images"]
FIELDS = [*KEY, "test_images", "accuracy", "low", "high", "memory_saving", "seconds"]
FRACTIONS, ROUNDINGS = (6, 8, 4, 16, 12, 2, 0), ("truncate", "nearest", "stochastic")
TRAINED_IN, LABELLED = 20_000, 10_000  # images of in-training runs; images that label neurons
Row = dict[str, object]


def recipe(part: str, fraction: int, rounding: str) -> sq.Recipe:
    """Weights Q1.f, membrane and threshold Q11.f, or both."""
    w = f"Q1.{fraction}" if part in ("weights", "both") else "FP32"
    n = f"Q11.{min(fraction, 12)}" if part in ("neurons", "both") else "FP32"
    return sq.Recipe.parse(f"W({w})-N({n})", rounding)  # type: ignore[arg-type]


def interval(right: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    middle, wide = right + z * z / (2 * count), z * math.sqrt(right * (1 - right) / count + z * z / (4 * count * count))
    return (middle - wide) / (1 + z * z / count), (middle + wide) / (1 + z * z / count)


class Experiment:
    """MNIST, the float network, and the rows so far."""

    def __init__(self) -> None:
        self.data, self.path = load("mnist"), HERE / "results.csv"
        rows = [] if not self.path.exists() else [*csv.DictReader(self.path.open())]
        self.done = {tuple(row[name] for name in KEY) for row in rows}
        self.test, self.labelled = self.batches(self.data.test, 10_000), self.batches(self.data.train, LABELLED)

    def batches(self, split: Split, count: int) -> Batches:
        """The first images of a split."""
        return Batches(Split(split.x[:count], split.y[:count]), 1000, self.data.scale)

    def row(self, key: Row, work: "Iterator[sq.models.Network]") -> None:
        """Run what ``work`` yields, judge it, write it down."""
        if tuple(str(key[name]) for name in KEY) in self.done:
            return
        began = time.perf_counter()
        network = next(work)
        accuracy = voted(network, self.test)
        low, high = interval(accuracy, 10_000)
        saving = sq.memory(sq.models.stdp_net()).qspinn_bits / sq.memory(network).qspinn_bits
        found = {"test_images": 10_000, "accuracy": accuracy, "low": round(low, 4), "high": round(high, 4)}
        found |= {"memory_saving": round(saving, 4), "seconds": round(time.perf_counter() - began, 1)}
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(key | found)
        print(*(key | found).values(), flush=True)

    def trained(self, images: int, wanted: sq.Recipe | None = None, holding: str = "on_change") -> Iterator["sq.models.Network"]:
        """A network after one pass over the first images, quantized while it learns if so wanted."""
        network = sq.models.stdp_net() if wanted is None else sq.quantize(sq.models.stdp_net(), wanted)
        for event in learn(network, self.batches(self.data.train, images), Stdp(holding=holding)):  # type: ignore[arg-type]
            if event.images % 20_000 == 0:
                print(event, flush=True)
        assign(network, self.labelled)
        yield network

    def float_network(self, folder: Path) -> "sq.models.Network":
        """The float network of one epoch, trained once and kept."""
        if not folder.exists():
            sq.save(next(self.trained(60_000)), folder)
        return sq.load(folder)


def key(scheme: str, part: str, fraction: object, rounding: str, holding: str, labels: str, images: int) -> Row:
    """What names a row."""
    return dict(zip(KEY, (scheme, part, fraction, rounding, holding, labels, images), strict=True))


def post_training(run: Experiment, network: "sq.models.Network", labels: str) -> None:
    """All parts, fractions and roundings, with the float network's labels or labelled anew."""

    def quantized(wanted: sq.Recipe) -> Iterator["sq.models.Network"]:
        small = sq.quantize(network, wanted)
        if labels == "reassigned":
            assign(small, run.labelled)
        yield small

    for fraction in FRACTIONS:
        for part in ("both", "weights", "neurons"):
            for rounding in ROUNDINGS:
                run.row(key("ptq", part, fraction, rounding, "", labels, 60_000), quantized(recipe(part, fraction, rounding)))


def in_training(run: Experiment, fractions: tuple[int, ...], holding: str, parts: tuple[str, ...] = ("both",)) -> None:
    """Quantized while it learns, from scratch."""
    for fraction in fractions:
        for part in parts:
            for rounding in ROUNDINGS:
                named = key("itq", part, fraction, rounding, holding, "reassigned", TRAINED_IN)
                run.row(named, run.trained(TRAINED_IN, recipe(part, fraction, rounding), holding))


def main() -> None:
    """Run the parts that are named."""
    torch.set_num_threads(1)
    run, kept = Experiment(), Path(sys.argv[-1])
    wanted = sys.argv[1:-1]
    network = run.float_network(kept)
    run.row(key("float", "", "", "", "", "reassigned", 60_000), iter([network]))
    if "float" in wanted:
        run.row(key("float", "", "", "", "", "reassigned", TRAINED_IN), run.trained(TRAINED_IN))
    if "ptq" in wanted:
        post_training(run, network, "kept")
    if "itq" in wanted:
        in_training(run, (8, 6, 4, 2), "on_change")
    if "place" in wanted:
        in_training(run, (12, 8, 6), "in_place")
    if "reassigned" in wanted:
        post_training(run, network, "reassigned")


if __name__ == "__main__":
    main()
