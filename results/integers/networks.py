"""Train the networks that become programs: float, then one epoch in whole numbers (4-bit weights, 8-bit states).

    python results/integers/networks.py digits squat-fmnist sew-resnet8 --out FOLDER

``FOLDER/NAME`` holds the float network and the integer one, and the program. Few images and a narrow width: it is equality and speed
that is shown, not accuracy.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch

import spikequant as sq
from spikequant.data import Batches, load
from spikequant.data.dataset import Split
from spikequant.deploy import Pixels


class Case(NamedTuple):
    """A network, its data, and how long it trains."""

    data: str
    images: int
    epochs: int
    rate: float
    options: dict[str, Any]


CASES = {
    "digits": Case("digits", 10_000, 6, 3e-3, {}),
    "squat-fmnist": Case("fashion-mnist", 6_000, 1, 5e-3, {}),
    "sew-resnet8": Case("cifar10", 2_000, 2, 5e-3, {"width": 8}),
}


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=CASES)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for name in options.names:
        train(name, options.out / name)


def train(name: str, folder: Path) -> None:
    """The float network, the integer one, the program."""
    case = CASES[name]
    data = load(case.data)
    part = Split(data.train.x[: case.images], data.train.y[: case.images])
    batches = Batches(part, 64, data.scale, seed=0)
    network = sq.models.build(name, seed=0, **case.options)
    sq.fit(network, batches, sq.Training(epochs=case.epochs, lr=case.rate))
    sq.save(network, folder / "float")
    small = sq.quantize(network, sq.Recipe.integer(weight_bits=4, state_bits=8), calibration=batches)
    sq.fit(small, batches, sq.Training(epochs=1, lr=case.rate / 4))
    sq.save(small, folder / "integer")
    program = sq.lower(small, pixels=Pixels(scale=data.scale))
    program.save(folder / "net.sqp")
    test = Batches(Split(data.test.x[:500], data.test.y[:500]), 100, data.scale)
    found = sq.evaluate(network, test), sq.evaluate(small, test)
    print(f"{name}: float {found[0]:.3f}, integer {found[1]:.3f} of the first 500 test images, program {program.hash[:12]}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
