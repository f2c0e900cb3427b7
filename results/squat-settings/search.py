"""Threshold, decay and learning rate of SQUAT's Fashion-MNIST network, chosen on held-out training images; the test images are not read.

    python results/squat-settings/search.py > results/squat-settings/search.csv

Every setting trains for one epoch on 3 000 images and is judged on 2 000 others; the best few, and the one in use (decision 0005), train
again on 6 000, from two seeds each, judged on the same 2 000.
"""

import csv
import sys
from itertools import product
from typing import NamedTuple

import torch

from spikequant.data import Batches, Split, hold_out, load
from spikequant.models import build
from spikequant.training import Training, evaluate, fit

THRESHOLDS, DECAYS, RATES = (0.5, 1.0, 2.5, 5.0), (0.5, 0.9), (2e-3, 5e-3, 1.25e-2)
IN_USE = (2.5, 0.5, 5e-3)
KEPT, BATCH = 3, 64


class Round(NamedTuple):
    """How long the settings of one round train: on the first ``images``, for ``epochs``, from each of ``seeds``."""

    number: int
    images: int
    epochs: int
    seeds: tuple[int, ...]


ROUNDS = Round(1, 3_000, 1, (0,)), Round(2, 6_000, 1, (0, 1))


def accuracy(setting: tuple[float, float, float], seed: int, train: Batches, epochs: int, validation: Batches) -> float:
    """Of the held-out images, after this setting's short training."""
    threshold, decay, rate = setting
    network = build("squat-fmnist", seed=seed, threshold=threshold, decay=decay)
    fit(network, train, Training(epochs=epochs, lr=rate, seed=seed, loss="cross_entropy_count"))
    network.eval()
    return evaluate(network, validation)


def main() -> None:
    """Write both rounds, a line as soon as it is known."""
    torch.set_num_threads(1)
    data = load("fashion-mnist")
    rest, held = hold_out(data.train, 2_000 / 60_000, 0)
    validation = Batches(held, 250, data.scale)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["round", "threshold", "decay", "lr", "seed", "accuracy"])
    settings = list(product(THRESHOLDS, DECAYS, RATES))
    for each in ROUNDS:
        few = Split(rest.x[: each.images], rest.y[: each.images])
        means = {}
        for setting in settings:
            found = [accuracy(setting, seed, Batches(few, BATCH, data.scale, seed), each.epochs, validation) for seed in each.seeds]
            out.writerows([each.number, *setting, seed, f"{value:.4f}"] for seed, value in zip(each.seeds, found, strict=True))
            sys.stdout.flush()
            means[setting] = sum(found) / len(found)
        best = sorted(means, key=lambda setting: -means[setting])[:KEPT]
        settings = best if IN_USE in best else [*best, IN_USE]


if __name__ == "__main__":
    main()
