"""The neuron over time: forward and backward of a LIF with float, 4-bit and 8-bit state; memory bandwidth; without the C library.

Each of ours computes what its peer computes; the note says in what share of neuron-steps their spikes differ (ties between levels).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from timing import COPY, Bench
from torch import Tensor

from spikequant.neurons import LIF
from spikequant.numerics import Surrogate
from spikequant.quantizers import Uniform

Layer = Callable[[Tensor], Tensor]
OWN_FLOAT = "ours as snnTorch"
LIMITS = {"threshold": 1.0, "lower_limit": 0.0, "upper_limit": 0.2}


def own(bits: int | None = None) -> Layer:
    """snnTorch's Leaky, ours."""
    state = None if bits is None else Uniform(bits=bits, low=-1.0, high=1.2)
    return LIF(decay=0.9, reset_timing="next", compare=">", state=state)


def snntorch_leaky(snntorch: Any, bits: int | None = None) -> Layer:
    """snnTorch's Leaky, theirs, in the loop over time that its users write."""
    quantizer = None if bits is None else snntorch.functional.quant.state_quant(bits, **LIMITS)
    leaky = snntorch.Leaky(0.9, spike_grad=snntorch.surrogate.atan(alpha=2.0), state_quant=quantizer or False)

    def layer(current: Tensor) -> Tensor:
        spikes, membrane = [], torch.zeros_like(current[0])
        for x in current:
            spike, membrane = leaky(x, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return layer


def spikingjelly_node(jelly: Any) -> Layer:
    """SpikingJelly's LIFNode, multi-step."""
    node = jelly.neuron.LIFNode(tau=2.0, surrogate_function=jelly.surrogate.ATan(alpha=2.0), step_mode="m")

    def layer(current: Tensor) -> Tensor:
        node.reset()
        spikes: Tensor = node(current)
        return spikes

    return layer


def norse_box(norse: Any) -> Layer:
    """Norse's boxed LIF."""
    box = norse.lif_box
    parameters = box.LIFBoxParameters(tau_mem_inv=torch.tensor(0.5), v_th=torch.tensor(1.0))

    def layer(current: Tensor) -> Tensor:
        spikes, state = [], box.LIFBoxFeedForwardState(torch.zeros_like(current[0]))
        for x in current:
            spike, state = box.lif_box_feed_forward_step(x, state, parameters, dt=1.0)
            spikes.append(spike)
        return torch.stack(spikes)

    return layer


def trained(layer: Layer, current: Tensor, upstream: Tensor) -> Callable[[], object]:
    """Forward and backward, to the current."""
    leaf = current.clone().requires_grad_()
    return lambda: torch.autograd.grad(layer(leaf), leaf, upstream)


@torch.no_grad()
def differing(ours: Layer, theirs: Layer, current: Tensor) -> str:
    """In what share of neuron-steps two layers disagree."""
    return f"{float((ours(current) != theirs(current)).float().mean()):.1e} of spikes differ"


def float_state(bench: Bench, snntorch: Any, current: Tensor) -> None:
    """Float state against three peers, and against the bandwidth."""
    jelly, norse = bench.peer("spikingjelly.activation_based", "neuron", "surrogate"), bench.peer("norse.torch.functional", "lif_box")
    layers: dict[str, tuple[Layer, Layer, str]] = {}
    if snntorch:
        layers["snnTorch"] = (own(), snntorch_leaky(snntorch), "20")
    if jelly:
        layers["SpikingJelly"] = (LIF(tau=2.0, reset="value", detach_reset=False), spikingjelly_node(jelly), "10")
    if norse:
        boxed = LIF(tau=2.0, reset="value", compare=">", detach_reset=False, surrogate=Surrogate("fast_sigmoid", 1.0))
        layers["Norse"] = (boxed, norse_box(norse), "20")
    upstream, alone = torch.ones_like(current), own()
    work = {"ours, inference": lambda: alone(current), OWN_FLOAT: trained(alone, current, upstream)}
    for name, (ours, theirs, _) in layers.items():
        work |= {f"ours as {name}": trained(ours, current, upstream), name: trained(theirs, current, upstream)}
    timed = bench.race(work, current)
    for name, (ours, theirs, aim) in layers.items():
        names = ("LIF forward+backward, float state", f"ours as {name}", name)
        bench.compare(timed, names, aim, differing(ours, theirs, current))
    # Useful bytes: 8 of a copy and of inference; 20 of training, which reads the current again, reads and writes a gradient.
    bench.compare(timed, ("LIF bandwidth, inference", "ours, inference", COPY), "0.9")
    bench.compare(timed, ("LIF bandwidth, training", OWN_FLOAT, COPY), "0.65", scale=2.5)


def quantized_state(bench: Bench, snntorch: Any, current: Tensor, bits: int, aim: str) -> None:
    """Quantized state against snnTorch's ``state_quant``."""
    ours, upstream = own(bits), torch.ones_like(current)
    work, note = {"ours": trained(ours, current, upstream)}, ""
    if snntorch:
        theirs = snntorch_leaky(snntorch, bits)
        work["snnTorch state_quant"] = trained(theirs, current, upstream)
        note = differing(ours, theirs, current)
    names = (f"LIF forward+backward, {bits}-bit state {list(current.shape)}", "ours", "snnTorch state_quant")
    bench.compare(bench.race(work, current), names, aim, note)


def without_library(bench: Bench, snntorch: Any, current: Tensor) -> None:
    """Float and 4-bit state by torch alone, against snnTorch."""
    upstream = torch.ones_like(current)
    work: dict[str, Callable[[], object]] = {}
    for kind, bits in (("float", None), ("4-bit", 4)):
        work[f"ours, torch only, {kind}"] = trained(own(bits), current, upstream)
        if snntorch:
            work[f"snnTorch, {kind}"] = trained(snntorch_leaky(snntorch, bits), current, upstream)
    timed = bench.race(work, current)
    for kind, aim in (("float", "7"), ("4-bit", "10")):
        bench.compare(timed, ("LIF without C library", f"ours, torch only, {kind}", f"snnTorch, {kind}"), aim)


def rows_without_library() -> list[dict[str, Any]]:
    """This script once more, in a process that may not load the library."""
    arguments = [each for each in sys.argv[1:] if each not in ("--json", "--save")]
    command = [sys.executable, __file__, *arguments, "--json"]
    done = subprocess.run(command, env=os.environ | {"SPIKEQUANT_KERNELS": "torch"}, stdout=subprocess.PIPE, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def main() -> None:
    """Run it; under ``SPIKEQUANT_KERNELS=torch`` only the part without the library."""
    bench = Bench("lif", __doc__, time=25, batch=64, neurons=4096, batch_of_8_bits=8)
    sizes = bench.options
    current = torch.randn(sizes.time, sizes.batch, sizes.neurons) * 1.5 + 0.6
    snntorch = bench.peer("snntorch", "functional.quant", "surrogate")
    if os.environ.get("SPIKEQUANT_KERNELS") == "torch":
        without_library(bench, snntorch, current)
    else:
        float_state(bench, snntorch, current)
        quantized_state(bench, snntorch, current, 4, "100, memory 8")
        slow = current[:, : sizes.batch_of_8_bits].contiguous()
        quantized_state(bench, snntorch, slow, 8, "2000, memory 8")
        bench.rows += rows_without_library()
    bench.finish()


if __name__ == "__main__":
    main()
