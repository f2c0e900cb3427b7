"""Train the networks that become programs: float, then in whole numbers (4-bit weights, 8-bit states).

    python results/integers/networks.py digits squat-fmnist sew-resnet8 stdp-net --out FOLDER [--device cuda]

``stdp-net`` learns without labels, in float; fixed point of 6 fraction bits comes after (Q1.6 weights, Q11.6 membranes and thresholds).
``FOLDER/NAME`` holds the float network and the integer one, and the program. ``images``: the first of the training set. On a processor
digits takes seconds, SQUAT's network about half an hour, SEW-ResNet-8 hours: give it a GPU, or fewer images.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch

import spikequant as sq
from spikequant import training
from spikequant.data import Batches, Split, crop_and_flip, load
from spikequant.deploy import Pixels


class Case(NamedTuple):
    """A network, its data, and how long it trains: ``epochs`` in float at ``rate``, then in whole numbers, there on the first
    ``integer_images``.
    """

    data: str
    images: int
    batch: int
    epochs: int
    integer_epochs: int
    rate: float
    integer_images: int
    integer_rate: float
    augment: bool
    options: dict[str, Any]


CASES = {
    "digits": Case("digits", 10_000, 64, 6, 1, 3e-3, 10_000, 7.5e-4, False, {}),
    "squat-fmnist": Case("fashion-mnist", 60_000, 128, 2, 1, 5e-3, 60_000, 1.25e-3, False, {}),
    "sew-resnet8": Case("cifar10", 50_000, 128, 12, 1, 5e-3, 10_000, 1e-4, True, {"width": 16}),
    "stdp-net": Case("mnist", 60_000, 100, 1, 0, 0.0, 0, 0.0, False, {}),
}
LABELLED = 10_000  # of the first images label the neurons of stdp-net
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
        case = case._replace(images=options.images or case.images)
        if name == "stdp-net":
            learn(name, case, options.out / name)
        else:
            train(name, case, options.out / name, options.device)


def train(name: str, case: Case, folder: Path, device: str) -> None:
    """The float network, unless it is there already; the integer one; the program."""
    data = load(case.data)

    def first(images: int, augment: bool) -> Batches:
        part = Split(data.train.x[:images], data.train.y[:images])
        return Batches(part, case.batch, data.scale, seed=0, augment=crop_and_flip() if augment else None)

    if not (folder / "float").exists():
        network = sq.models.build(name, seed=0, **case.options).to(device)
        sq.fit(network, first(case.images, case.augment), sq.Training(epochs=case.epochs, lr=case.rate))
        sq.save(network.cpu(), folder / "float")
    network = sq.load(folder / "float")
    calibration = first(min(CALIBRATION, case.images), False)
    small = sq.quantize(network, sq.Recipe.integer(weight_bits=4, state_bits=8), calibration=calibration).to(device)
    sq.fit(small, first(min(case.integer_images, case.images), case.augment), sq.Training(epochs=case.integer_epochs, lr=case.integer_rate))
    small = small.cpu()
    sq.save(small, folder / "integer")
    program = sq.lower(small, pixels=Pixels(scale=data.scale))
    program.save(folder / "net.sqp")
    held = Batches(Split(data.train.x[-1000:], data.train.y[-1000:]), 100, data.scale)
    found = sq.evaluate(network, held), sq.evaluate(small, held)
    print(
        f"{name}: float {found[0]:.3f}, integer {found[1]:.3f} of the last 1 000 training images, program {program.hash[:12]}", flush=True
    )


def learn(name: str, case: Case, folder: Path) -> None:
    """The network that learned by STDP, its fixed point, the program."""
    data = load(case.data)

    def first(images: int, batch: int) -> Batches:
        return Batches(Split(data.train.x[:images], data.train.y[:images]), batch, data.scale)

    network = sq.models.build(name, seed=0, **case.options)
    for _ in training.learn(network, first(case.images, case.batch), training.Stdp()):
        pass
    labels = training.assign(network, first(min(LABELLED, case.images), case.batch))
    sq.save(network, folder / "float")
    fixed = sq.FixedPoint(integer=11, fraction=6)
    recipe = sq.Recipe(weights=sq.FixedPoint(integer=1, fraction=6), state=fixed, constants=fixed)
    small = sq.quantize(network, recipe, calibration=first(case.batch, case.batch))
    small.get_submodule("vote").get_buffer("labels").copy_(labels)
    sq.save(small, folder / "integer")
    program = sq.lower(small, first(case.batch, 10))
    program.save(folder / "net.sqp")
    print(f"{name}: program {program.hash[:12]}, {program.report}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
