"""Train the networks that become programs: float, then in whole numbers (4-bit weights, 8-bit states).

    python results/integers/networks.py digits squat-fmnist sew-resnet8 --out FOLDER [--device cuda]

``FOLDER/NAME`` holds the float network and the integer one, and the program. ``images``: the first of the training set. On a processor
digits takes seconds, SQUAT's network about half an hour, SEW-ResNet-8 hours: give it a GPU, or fewer images.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch

import spikequant as sq
from spikequant.data import Batches, Split, crop_and_flip, load
from spikequant.deploy import Pixels


class Case(NamedTuple):
    """A network, its data, and how long it trains: ``epochs`` in float, then ``integer_epochs``."""

    data: str
    images: int
    batch: int
    epochs: int
    integer_epochs: int
    rate: float
    augment: bool
    options: dict[str, Any]


CASES = {
    "digits": Case("digits", 10_000, 64, 6, 1, 3e-3, False, {}),
    "squat-fmnist": Case("fashion-mnist", 60_000, 128, 2, 1, 5e-3, False, {}),
    "sew-resnet8": Case("cifar10", 50_000, 128, 12, 4, 5e-3, True, {"width": 16}),
}
CALIBRATION = 2000  # images


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=CASES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, help="fewer training images")
    options = parser.parse_args()
    for name in options.names:
        case = CASES[name]
        train(name, case._replace(images=options.images or case.images), options.out / name, options.device)


def train(name: str, case: Case, folder: Path, device: str) -> None:
    """The float network, unless it is there already; the integer one; the program."""
    data = load(case.data)
    part = Split(data.train.x[: case.images], data.train.y[: case.images])
    batches = Batches(part, case.batch, data.scale, seed=0, augment=crop_and_flip() if case.augment else None)
    plain = Batches(Split(part.x[:CALIBRATION], part.y[:CALIBRATION]), case.batch, data.scale)
    if not (folder / "float").exists():
        network = sq.models.build(name, seed=0, **case.options).to(device)
        sq.fit(network, batches, sq.Training(epochs=case.epochs, lr=case.rate))
        sq.save(network.cpu(), folder / "float")
    network = sq.load(folder / "float")
    small = sq.quantize(network, sq.Recipe.integer(weight_bits=4, state_bits=8), calibration=plain).to(device)
    sq.fit(small, batches, sq.Training(epochs=case.integer_epochs, lr=case.rate / 4))
    small = small.cpu()
    sq.save(small, folder / "integer")
    program = sq.lower(small, pixels=Pixels(scale=data.scale))
    program.save(folder / "net.sqp")
    held = Batches(Split(data.train.x[-1000:], data.train.y[-1000:]), 100, data.scale)
    found = sq.evaluate(network, held), sq.evaluate(small, held)
    print(
        f"{name}: float {found[0]:.3f}, integer {found[1]:.3f} of the last 1 000 training images, program {program.hash[:12]}", flush=True
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
