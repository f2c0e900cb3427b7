"""A grid of post-training candidates on SQUAT's Fashion-MNIST network: ``explore`` beside snnTorch + Brevitas, one candidate after another.

Five weight grids for each of three layers, 4-bit states: 125 candidates. Ours builds, judges and records every one on all images; the
peer only evaluates one candidate on a part of the images, and its time is extrapolated to all. Images are random, of Fashion-MNIST's shape.
"""

from collections.abc import Callable

import torch
from squat_step import STATE, Stepped, firing_network, same_values
from timing import Bench

from spikequant.models import Network
from spikequant.quantizers import Uniform
from spikequant.recipes import LayerChoices, Space
from spikequant.studies import Exploration, explore
from spikequant.training import evaluate

GRIDS = tuple(Uniform(bits=bits, levels_at="zero", per_channel=True) for bits in (8, 6, 4, 3, 2))
LAYERS = ("conv1", "conv2", "linear")
BATCHES = 8  # one of them also counts operations


def space(grids: int) -> Space:
    """So many weight grids for every layer."""
    return Space(state=(STATE,), layers={layer: LayerChoices(weights=GRIDS[:grids]) for layer in LAYERS})


def whole(network: Network, images: torch.Tensor, grids: int) -> Exploration:
    """Every candidate, on every image; none is given up."""
    loader = [(x, torch.zeros(len(x), dtype=torch.int64)) for x in torch.tensor_split(images, min(BATCHES, len(images)))]
    return explore(network, space(grids), (loader, loader), strategy="every", max_drop=1.0, batches=len(loader))


def main() -> None:
    """Run it."""
    bench = Bench("ptq_grid", __doc__, images=2000, time=25, grids=5, images_of_peer=20)
    sizes = bench.options
    images = torch.rand(sizes.images, 1, 28, 28)
    network = firing_network(sizes.time)
    with torch.no_grad():
        network.train()(images)
    network.eval()
    work: dict[str, Callable[[], object]] = {"ours": lambda: whole(network, images, sizes.grids)}
    snntorch, brevitas = bench.peer("snntorch", "functional.quant", "surrogate"), bench.peer("brevitas", "nn", "quant")
    if snntorch and brevitas:
        theirs = same_values(Stepped(snntorch, sizes.time, brevitas), network).eval()
        few = [(images[: sizes.images_of_peer], torch.zeros(len(images[: sizes.images_of_peer]), dtype=torch.int64))]
        work["snnTorch + Brevitas"] = lambda: evaluate(theirs, few)
    timed = bench.race(work, images)
    candidates, part = sizes.grids ** len(LAYERS), min(sizes.images_of_peer, sizes.images)
    scale = candidates * sizes.images / part
    note = f"the peer: one candidate on {part} images, times {scale:.0f}"
    bench.compare(timed, (f"PTQ grid, {candidates} candidates, {sizes.images} images", "ours", "snnTorch + Brevitas"), "1000", note, scale)
    bench.finish()


if __name__ == "__main__":
    main()
