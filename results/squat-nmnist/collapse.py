"""Which way of post-training quantization of weights makes SQUAT's event network answer by chance, as the paper's does at 8 bits (9.09 %).

    python results/squat-nmnist/collapse.py runs/squat-nmnist/trials/float_s*  > results/squat-nmnist/collapse.csv

The float networks are those of the study `squat-nmnist`, each evaluated on all test recordings. `norm`: batch norm kept in float, folded
into the weights before, its statistics estimated again after, or lost (mean 0 and variance 1, as in a network built anew without them).
`scale`: the range of the weights, that of the tensor, of each channel, that of least square error, or [-1, 1]. `biases`: on the row's bits,
or float.
"""

import copy
import csv
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from torch import nn

from spikequant.behavior import record
from spikequant.data import Batches, DataSet, load
from spikequant.models import Network
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.recipes import load as load_network
from spikequant.training import evaluate

SCALES = {
    "tensor": {},
    "channel": {"per_channel": True},
    "square": {"observer": "mean_square"},
    "one": {"low": -1.0, "high": 1.0},
}
NORMS = ("kept", "folded", "reestimated", "lost")
BATCH, CALIBRATION = 50, 4


def lost(network: Network) -> Network:
    """A copy whose batch norms know no statistics."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return network


def rows(network: Network, data: DataSet, seed: int) -> Iterator[list[object]]:
    """The answers of one float network."""
    calibration = Batches(data.train, BATCH, data.scale, seed)
    test = Batches(data.test, BATCH, data.scale)
    for norm in ("kept", "lost"):
        float_network = lost(network) if norm == "lost" else network
        yield [norm, "float", "float", 32, seed, *answers(float_network, test)]
    for norm, scale, biases, bits in product(NORMS, SCALES, ("row", "float"), (8, 4, 2)):
        recipe = Recipe(
            weights=Uniform(bits=bits, levels_at="zero", **SCALES[scale]),
            biases=Uniform(bits=bits, levels_at="zero") if biases == "row" else None,
            batch_norm=None if norm == "lost" else norm,
        )
        small = quantize(lost(network) if norm == "lost" else network, recipe, calibration, CALIBRATION)
        yield [norm, scale, biases, bits, seed, *answers(small, test)]


def answers(network: Network, test: Batches) -> tuple[str, str]:
    """Accuracy, and the mean rate of the output."""
    network.eval()
    return f"{evaluate(network, test):.4f}", f"{float(record(network, test).layers[-1].mean_rate):.5f}"


def main(folders: list[str]) -> None:
    """Write the table of these float networks."""
    torch.set_num_threads(1)
    data = load("nmnist")
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["norm", "scale", "biases", "bits", "seed", "accuracy", "output_rate"])
    for seed, folder in enumerate(sorted(folders)):
        out.writerows(rows(load_network(Path(folder)), data, seed))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
