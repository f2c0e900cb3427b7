"""What watching costs: the EMD of firing rates layer by layer against scipy, and the recorder beside a plain evaluation."""

import numpy as np
import torch
from timing import Bench

from spikequant.behavior import emd, record
from spikequant.models import build
from spikequant.training import evaluate


def distances(bench: Bench) -> None:
    """The EMD of rates that are counts over images and steps, as a recorder gives them."""
    sizes, draw = bench.options, np.random.default_rng(0)
    shape, sites = (sizes.layers, max(1, sizes.neurons // sizes.layers)), 2000
    before, after = (draw.binomial(sites, draw.beta(1, 9, shape)) / sites for _ in range(2))
    pairs = list(zip(before, after, strict=True))
    work, note = {"ours": lambda: [emd(a, b) for a, b in pairs]}, ""
    if stats := bench.peer("scipy.stats"):
        work["scipy"] = lambda: [float(stats.wasserstein_distance(a, b)) for a, b in pairs]
        apart = max(abs(own - theirs) for own, theirs in zip(work["ours"](), work["scipy"](), strict=True))
        note = f"distances differ by at most {apart:.1e}"
    timed = bench.race(work, torch.from_numpy(before))
    bench.compare(timed, (f"EMD over {shape[0]} layers of {shape[1]} neurons", "ours", "scipy"), "25", note)


def recording(bench: Bench) -> None:
    """Evaluation of SQUAT's network with its spikes counted, and without."""
    images = torch.rand(bench.options.images, 1, 28, 28)
    model = build("squat-fmnist", time=bench.options.time)
    with torch.no_grad():
        model.train()(images)  # so that batch norm lets neurons fire
    loader = [(images, torch.zeros(len(images), dtype=torch.int64))]
    timed = bench.race({"recorded": lambda: record(model, loader), "not recorded": lambda: evaluate(model, loader)}, images)
    bench.compare(timed, ("recorder in evaluation", "recorded", "not recorded"), "0.98")


def main() -> None:
    """Run it."""
    bench = Bench("emd", __doc__, layers=8, neurons=16000, images=250, time=25)
    distances(bench)
    recording(bench)
    bench.finish()


if __name__ == "__main__":
    main()
