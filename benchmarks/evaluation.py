"""Evaluation, without gradients, of SQUAT's Fashion-MNIST network with 4-bit weights and states, beside snnTorch + Brevitas.

Images are random, of Fashion-MNIST's shape; both networks hold the same values, with moments of batch norm from two batches of training.
"""

from collections.abc import Callable

import torch
from squat_step import RECIPES, Stepped, firing_network, same_values
from timing import Bench

from spikequant.recipes import quantize
from spikequant.training import evaluate

OURS, PEER = "ours, 4-bit", "snnTorch + Brevitas, 4-bit"


def main() -> None:
    """Run it."""
    bench = Bench("evaluation", __doc__, time=25, images=250)
    sizes = bench.options
    x = torch.rand(sizes.images, 1, 28, 28)
    ours = quantize(firing_network(sizes.time), RECIPES[OURS]).train()
    with torch.no_grad():
        for _ in range(2):
            ours(x)
    ours.eval()
    loader = [(x, torch.zeros(len(x), dtype=torch.int64))]
    work: dict[str, Callable[[], object]] = {OURS: lambda: evaluate(ours, loader)}
    note = ""
    snntorch, brevitas = bench.peer("snntorch", "functional.quant", "surrogate"), bench.peer("brevitas", "nn", "quant")
    if snntorch and brevitas:
        theirs = same_values(Stepped(snntorch, sizes.time, brevitas), ours).eval()
        work[PEER] = lambda: evaluate(theirs, loader)
        with torch.no_grad():
            own, counts = ours(x), theirs(x)
        note = f"{float((own != counts).float().mean()):.1e} of spike counts differ, their mean is {float(counts.mean()):.2g}"
    timed = bench.race(work, torch.empty(sizes.time, sizes.images, 64, 8, 8))
    bench.compare(timed, (f"SQUAT evaluation, {sizes.images} images", OURS, PEER), "180", note)
    bench.finish()


if __name__ == "__main__":
    main()
