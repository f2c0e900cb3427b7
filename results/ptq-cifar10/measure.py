"""Quantize a trained SEW-ResNet-8 on CIFAR-10 without training it on, plain and with its rates put right; rows.csv is read by ``claims``.

python results/integers/networks.py sew-resnet8 --device cuda --out nets    # trains the float network
python results/ptq-cifar10/measure.py nets/sew-resnet8/float results/ptq-cifar10/rows.csv
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import spikequant as sq
from spikequant.data import Batches, Split, load
from spikequant.training import Correction, correct_rates

SHOWN = 10 * 128  # test images, for accuracy and firing alike
COLUMNS = ("tags", "accuracy", "mean_rate", "dead", "emd", "emd_low", "emd_high", "emd_floor", "emd_mean_shift", "agreement")


def recipes() -> Iterator[tuple[str, sq.Recipe]]:
    """Tags and recipe of each configuration."""
    for name, reach, bits in (("narrow", 1.0, 2), ("narrow", 1.0, 4), ("wide", 10.0, 6)):
        yield f"weights uniform {name} {bits}bits", sq.Recipe(weights=sq.Uniform(bits=bits, low=-reach, high=reach))
    yield "weights lqnet 2bits", sq.Recipe(weights=sq.LQNet(bits=2))
    yield "states signed 2bits", sq.Recipe(state=sq.Uniform(bits=2, low=-1.0, high=1.0))
    yield "states unsigned 2bits", sq.Recipe(state=sq.Uniform(bits=2, low=0.0, high=1.0))
    yield "states anchored 2bits", sq.Recipe(state=sq.Anchored(bits=2))
    yield "states between 2bits", sq.Recipe(state=sq.Uniform(bits=2, low=0.0, high=1.2))  # the threshold is midway of two levels


def measured(tags: str, network: sq.models.Network, model: sq.models.Network, shown: Batches) -> dict[str, str | float | None]:
    """One row."""
    drift = sq.compare(model, network, shown)
    low, high = drift.emd_interval
    rate, dead, shift = (fmean(getattr(layer, name) for layer in drift.layers) for name in ("mean_rate", "dead", "emd_mean_shift"))
    values = (sq.evaluate(network, shown), rate, dead, drift.emd, low, high, drift.emd_floor, shift, drift.agreement)
    return dict(zip(COLUMNS, (tags, *values), strict=True))


def main(folder: str, place: str) -> None:
    """Measure all configurations; each row is on disk before the next begins."""
    model, data = sq.load(folder), load("cifar10")
    train = Batches(data.train, 128, data.scale, seed=0)
    shown = Batches(Split(data.test.x[:SHOWN], data.test.y[:SHOWN]), 128, data.scale)
    with Path(place).open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerow(measured("cifar10 float", model, model, shown))
        file.flush()
        for tags, recipe in recipes():
            network = sq.quantize(model, recipe, calibration=train)
            table.writerow(measured(f"cifar10 {tags} plain", network, model, shown))
            correct_rates(network, model, train, Correction(batches=4))
            table.writerow(measured(f"cifar10 {tags} bias", network, model, shown))
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
