"""A membrane on a grid: our drop-in in snnTorch's place, per bits, against snnTorch's ``state_quant``; time and extra memory."""

import torch
from timing import COPY, Bench
from torch import Tensor

from spikequant.numerics import midpoints
from spikequant.quantizers import QuantizerSpec, StateQuant, ThresholdCentered, Uniform

LIMITS = {"threshold": 1.0, "lower_limit": 0.0, "upper_limit": 0.2}


def spec_of(bits: int, uniform: bool) -> QuantizerSpec:
    """The grid that snnTorch builds by default."""
    return Uniform(bits=bits, low=-1.0, high=1.2) if uniform else ThresholdCentered(bits=bits)


@torch.no_grad()
def agreement(ours: StateQuant, theirs: Tensor, x: Tensor) -> str:
    """How many values differ by a level, and how far these lie from a midpoint at most."""
    middles = midpoints(ours.grid())
    differ = torch.bucketize(ours(x), middles) != torch.bucketize(theirs, middles)
    away = (x[differ].double().unsqueeze(1) - middles.double()).abs().amin(1) if differ.any() else x.new_zeros(1)
    return f"{int(differ.sum())} of {x.numel()} differ, all within {float(away.max()):.0e} of a midpoint"


def main() -> None:
    """Run it."""
    bench = Bench("state_quant", __doc__, batch=128, channels=64, size=16)
    options = bench.options
    x = torch.randn(options.batch, options.channels, options.size, options.size)
    state_megabytes = x.numel() * 4e-6
    snntorch = bench.peer("snntorch", "functional.quant")
    for bits, uniform in ((2, True), (4, True), (8, True), (8, False)):
        ours, kind = StateQuant(spec_of(bits, uniform)), "uniform" if uniform else "threshold-centered"
        work, note = {"ours": lambda ours=ours: ours(x)}, ""
        if snntorch:
            theirs = snntorch.functional.quant.state_quant(bits, uniform, **LIMITS)
            work["snnTorch"] = lambda theirs=theirs: theirs(x)
            note = agreement(ours, theirs(x), x)
        timed = bench.race(work, x)
        row = f"state on {bits} bits, {kind}"
        extra = f"; the state has {state_megabytes:.3g} MB"
        bench.compare(timed, (row, "ours", "snnTorch"), "100" if bits == 8 else "", note + extra)
        bench.compare(timed, (row, "ours", COPY), note="copy is the limit")
    bench.finish()


if __name__ == "__main__":
    main()
