"""Does a search that watches firing find better networks than one that watches accuracy and memory alone?

python results/behavior-search/search.py OUT 0 1 2    # seeds; Fashion-MNIST under SPIKEQUANT_DATA; about two minutes a seed on one core

SQUAT's network for Fashion-MNIST, with 5 time steps and a threshold of 1, is trained in float on 20 000 training images. Every recipe of
SPACE, after training, is judged on 1 000 other training images. For each network on the front of accuracy and memory, which is all that
such a search finds, its rivals are those as accurate and as small; the rival with least traffic, and the one with least EMD, are measured
beside it on the test images, once. So is a network that only a front with EMD holds, beside the one that hides it from accuracy and memory.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikequant.behavior import compare, operations, record
from spikequant.data import Batches, Split, load
from spikequant.models import Network, build
from spikequant.quantizers import Anchored, LQNet, ThresholdCentered, Uniform
from spikequant.recipes import LayerChoices, Space, memory, save, traffic
from spikequant.recipes import load as load_network
from spikequant.studies import Evaluated, Exploration, Loaders, explore
from spikequant.studies.bench import Bench
from spikequant.training import Training, evaluate, fit

TRAINED, JUDGED, BATCH = 20_000, 1_000, 200
EQUAL, AS_SMALL, WORTH = 0.003, 1.01, 0.05  # accuracy; memory; how far below the best a network is still looked at
OBJECTIVES = ("accuracy", "memory", "emd", "traffic")
STATES = [
    grid
    for bits in (4, 3)
    for grid in (
        Uniform(bits=bits, low=-2.0, high=2.0),
        ThresholdCentered(bits=bits, threshold=1.0, lower_limit=1.0, upper_limit=1.0),
        Anchored(bits=bits, threshold=1.0),
    )
]
PER_LAYER = {name: LayerChoices(weights=(LQNet(bits=4), LQNet(bits=2))) for name in ("conv1", "conv2", "linear")}
SPACE = Space(time=(5, 3), state=tuple(STATES), layers=PER_LAYER)
QUANTILES = np.linspace(0, 1, 21)


class Pair(NamedTuple):
    """A network that accuracy and memory find, and its rival, or one that it hides."""

    found: Evaluated
    rival: Evaluated


class Work(NamedTuple):
    """What a seed works with."""

    model: Network
    loaders: Loaders
    test: Batches
    seed: int


def main(out: Path, seeds: list[int]) -> None:
    """Train, enumerate, choose and confirm, seed by seed."""
    for seed in seeds:
        work = prepared(out / f"s{seed}", seed)
        found = explore(work.model, SPACE, work.loaders, OBJECTIVES, strategy="every", max_drop=1.0, batches=5, folder=out / f"s{seed}")
        write(out / f"candidates-s{seed}.csv", [candidate(each) for each in found.finished])
        rows, rates = [], []
        for name, pair in chosen(found).items():
            for role, each in pair._asdict().items():
                network = Bench(work.model, work.loaders, None, 5).build(found.recipe(each), SPACE.steps(each.levels), "ptq")
                rows.append({"seed": seed, "least": name, "role": role} | confirmed(network, each, work))
                rates += [{"least": name, "role": role, **row} for row in distributions(network, work.test)]
        write(out / f"confirmed-s{seed}.csv", rows)
        write(out / f"rates-s{seed}.csv", [{"least": "", "role": "float", **row} for row in distributions(work.model, work.test)] + rates)


def prepared(folder: Path, seed: int) -> Work:
    """The trained float network, made or read, and its data."""
    data = load("fashion-mnist")
    train = Split(data.train.x[:TRAINED], data.train.y[:TRAINED])
    held = Split(data.train.x[-JUDGED:], data.train.y[-JUDGED:])
    loaders = Loaders(Batches(train, 100, data.scale, seed=seed), Batches(held, BATCH, data.scale))
    if (folder / "float").is_dir():
        model = load_network(folder / "float")
    else:
        model = build("squat-fmnist", seed=seed, time=5, threshold=1.0)
        fit(model, loaders.train, Training(epochs=2, lr=5e-3, seed=seed))
        save(model, folder / "float")
    return Work(model, loaders, Batches(data.test, BATCH, data.scale), seed)


def chosen(found: Exploration) -> dict[str, Pair]:
    """The pair with the largest cut in traffic, and the one with the largest cut in EMD; none where nothing has a rival."""
    pairs = list(rivals(found))
    costs = {"traffic": lambda each: each.measures.traffic_bits, "emd": lambda each: each.measures.emd}
    best = {name: min(pairs, key=lambda pair: cost(pair.rival) / cost(pair.found)) for name, cost in costs.items() if pairs}
    hidden = list(missed(found))
    return best | ({"missed": min(hidden, key=lambda pair: pair.rival.measures.emd / pair.found.measures.emd)} if hidden else {})


def missed(found: Exploration) -> Iterator[Pair]:
    """Networks of the front of accuracy, memory and EMD that are not on that of accuracy and memory, each with the network there that
    hides it: as accurate and as small or better, and nearest in EMD.
    """
    best = max(each.measures.accuracy for each in found.finished)
    front = found.front(("accuracy", "memory"))
    for each in found.front(("accuracy", "memory", "emd")):
        if each in front or each.measures.accuracy < best - WORTH:
            continue
        hiding = [other for other in front if hides(other, each)]
        yield Pair(min(hiding, key=lambda other: other.measures.emd), each)


def hides(other: Evaluated, each: Evaluated) -> bool:
    """Whether a network is at least as accurate and as small."""
    return other.measures.accuracy >= each.measures.accuracy and other.measures.memory_bits <= each.measures.memory_bits


def rivals(found: Exploration) -> Iterator[Pair]:
    """Networks of the front of accuracy and memory with each that is as accurate and as small."""
    best = max(each.measures.accuracy for each in found.finished)
    for each in found.front(("accuracy", "memory")):
        if each.measures.accuracy < best - WORTH:
            continue
        for other in found.finished:
            small = other.measures.memory_bits <= AS_SMALL * each.measures.memory_bits
            if other is not each and small and other.measures.accuracy >= each.measures.accuracy - EQUAL:
                yield Pair(each, other)


def candidate(each: Evaluated) -> dict[str, Any]:
    """A candidate with what it was judged by."""
    return {"candidate": each.label} | {name: getattr(each.measures, name) for name in ("accuracy", "memory_bits", "emd", "traffic_bits")}


def confirmed(network: Network, each: Evaluated, work: Work) -> dict[str, Any]:
    """A network on the test images."""
    drift = compare(work.model, network, work.test, batches=25)
    used = {layer: count.effective for layer, count in operations(network, work.test, 5).items()}
    return {
        "recipe": each.label,
        "memory_bits": memory(network).total_bits,
        "validation_accuracy": each.measures.accuracy,
        "float_test_accuracy": evaluate(work.model, work.test),
        "test_accuracy": evaluate(network, work.test),
        "test_emd": drift.emd,
        "test_emd_floor": drift.emd_floor,
        "test_traffic_bits": traffic(network, used).total_bits,
    }


def distributions(network: Network, test: Batches) -> list[dict[str, Any]]:
    """For each layer the quantiles of its firing rates."""
    names = [f"{quantile:.2f}" for quantile in QUANTILES]
    rows = []
    for layer in record(network, test, 25).layers:
        values = np.quantile(layer.rates, QUANTILES).round(4).tolist()
        rows.append({"layer": layer.name} | dict(zip(names, values, strict=True)))
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0] if rows else ())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
