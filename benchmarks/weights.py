"""Weights of one layer, forward and backward: fake quantization per channel, and LQ-Net with the fit of its basis."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from timing import COPY, Bench
from torch import Tensor, nn

from spikequant.quantizers import LQNet, QuantizerSpec, Uniform

RIDGE = 1e-4


def own(spec: QuantizerSpec, weight: Tensor, upstream: Tensor) -> tuple[nn.Module, Callable[[], object]]:
    """One training step's read of a weight through our quantizer; the weight counts as changed, so that grids are fitted anew."""
    quantizer = spec.build(tuple(weight.shape)).train()

    def run() -> object:
        torch.autograd.graph.increment_version(weight)
        return torch.autograd.grad(quantizer(weight), weight, upstream)

    return quantizer, run


def brevitas_layer(brevitas: Any, weight: Tensor, bits: int) -> Any:
    """A convolution of Brevitas that quantizes per channel and holds this weight."""
    kind = brevitas.quant.Int8WeightPerChannelFloat
    channels, inputs, *kernel = weight.shape
    layer = brevitas.nn.QuantConv2d(inputs, channels, tuple(kernel), bias=False, weight_bit_width=bits, weight_quant=kind)
    layer.weight.data = weight.detach().clone()
    return layer


@torch.no_grad()
def level_loop(weight: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """LQ-Net as its released code does it: level by level over whole tensors; weights on their levels, and the basis fitted to them."""
    rows, bits = weight.flatten(1), basis.shape[1]
    patterns = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=bits)))
    levels, order = (basis @ patterns.T).sort(dim=1)
    signs = patterns[order]
    midpoints = (levels[:, 1:] + levels[:, :-1]) / 2
    snapped = levels[:, :1].expand_as(rows)
    codes = signs[:, :1].expand(*rows.shape, bits)
    for level in range(1, 2**bits):
        above = rows > midpoints[:, level - 1 : level]
        snapped = torch.where(above, levels[:, level : level + 1], snapped)
        codes = torch.where(above.unsqueeze(2), signs[:, level : level + 1], codes)
    gram = codes.mT @ codes + RIDGE * torch.eye(bits)
    right = codes.mT @ rows.unsqueeze(2) + RIDGE * basis.unsqueeze(2)
    return snapped.view_as(weight), torch.linalg.solve(gram, right).squeeze(2)


def fake_quantization(bench: Bench, weight: Tensor, upstream: Tensor) -> None:
    """4 bits per channel against Brevitas."""
    spec = Uniform(bits=4, levels_at="zero", per_channel=True)
    quantizer, run = own(spec, weight, upstream)
    work, note = {"ours": run}, ""
    brevitas = bench.peer("brevitas", "nn", "quant")
    if brevitas:
        layer = brevitas_layer(brevitas, weight, spec.bits)
        work["Brevitas"] = lambda: torch.autograd.grad(layer.quant_weight().value, layer.weight, upstream)
        note = f"values differ by at most {float((quantizer(weight) - layer.quant_weight().value).abs().max()):.1e}"
    timed = bench.race(work, weight.detach())
    bench.compare(timed, ("weight fake quantization, 4 bits", "ours", "Brevitas"), "30", note)
    bench.compare(timed, ("weight fake quantization, 4 bits", "ours", COPY), note="copy is the limit")


def lq_net(bench: Bench, weight: Tensor, upstream: Tensor) -> None:
    """2, 4 and 8 bits with the fit against a loop over levels; and how our time grows."""
    work: dict[str, Callable[[], object]] = {}
    notes = dict[int, str]()
    for bits in (2, 4, 8):
        quantizer, work[f"ours, {bits} bits"] = own(LQNet(bits=bits), weight, upstream)
        basis = torch.as_tensor(quantizer.basis).clone()
        work[f"level loop, {bits} bits"] = lambda basis=basis: level_loop(weight, basis)  # type: ignore[misc]
        apart = (quantizer.eval()(weight) - level_loop(weight, basis)[0]).abs().max()
        quantizer.train()
        notes[bits] = f"values differ by at most {float(apart):.1e}"
    timed = bench.race(work, weight.detach())
    for bits, aim in ((2, ""), (4, "100"), (8, "")):
        bench.compare(timed, ("LQ-Net with its fit", f"ours, {bits} bits", f"level loop, {bits} bits"), aim, notes[bits])
    bench.compare(timed, ("LQ-Net, growth from 2 to 8 bits", "ours, 2 bits", "ours, 8 bits"), "at most 8")


def main() -> None:
    """Run it."""
    bench = Bench("weights", __doc__, channels=512, kernel=3)
    channels, kernel = bench.options.channels, bench.options.kernel
    weight = (torch.randn(channels, channels, kernel, kernel) * (2 / (channels * kernel**2)) ** 0.5).requires_grad_()
    upstream = torch.ones_like(weight)
    fake_quantization(bench, weight, upstream)
    lq_net(bench, weight, upstream)
    bench.finish()


if __name__ == "__main__":
    main()
