"""On a GPU: the neuron alone beside a copy and SpikingJelly's own choice of backend, and one training step of SEW-ResNet-8 and of SQUAT's
network, recorded as a CUDA graph and not, beside SpikingJelly's in float.

Every time ends with the device idle. Without a GPU there is nothing to measure.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from sew_step import Jelly
from timing import Bench
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spikequant.models import build
from spikequant.neurons import LIF
from spikequant.numerics import Surrogate
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.outputs import step_outputs
from spikequant.training.recording import WARM, Recording

STATE = Uniform(bits=4, low=-1.0, high=1.2)
SHAPES = ((4, 128, 64, 32, 32), (25, 64, 4096))


def waiting(run: Callable[[], object]) -> Callable[[], object]:
    """The same work, until the device has done it."""

    def work() -> object:
        found = run()
        torch.cuda.synchronize()
        return found

    return work


def neuron(layer: Callable[[Tensor], Tensor], current: Tensor, backward: bool) -> Callable[[], object]:
    """One call on a current, with its gradient."""
    x = current.clone().requires_grad_(backward)
    weights = torch.rand_like(current)

    def run() -> object:
        with torch.set_grad_enabled(backward):
            spikes = layer(x)
        if backward:
            spikes.backward(weights)  # type: ignore[no-untyped-call]
            x.grad = None
        return spikes

    return waiting(run)


def jelly_layer(jelly: Any) -> Callable[[Tensor], Tensor]:
    """SpikingJelly's neuron, multi-step, on the backend that it takes by itself."""
    node = jelly.neuron.LIFNode(tau=2.0, surrogate_function=jelly.surrogate.ATan(alpha=2.0), detach_reset=True, v_reset=0.0, step_mode="m")

    def layer(current: Tensor) -> Tensor:
        node.reset()
        spikes: Tensor = node(current)
        return spikes

    return layer


def neurons(bench: Bench, jelly: Any) -> None:
    """Rows of the neuron alone."""
    like_jelly: dict[str, Any] = {"tau": 2.0, "reset": "value", "surrogate": Surrogate("arctan", 2.0)}
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            current = torch.randn(shape, device="cuda", dtype=dtype)
            for backward, bytes_over_copy in ((False, 1.0), (True, 2.5)):  # training reads the current twice, and a gradient; writes two
                work = {
                    "ours": neuron(LIF(**like_jelly).cuda(), current, backward),
                    "ours, 4-bit": neuron(LIF(**like_jelly, state=STATE).cuda(), current, backward),
                }
                if jelly is not None:
                    work["SpikingJelly"] = neuron(jelly_layer(jelly), current, backward)
                copied = current.float() if dtype == torch.float32 else current
                target = torch.empty_like(copied)
                work["device copy"] = waiting(lambda target=target, copied=copied: target.copy_(copied))  # type: ignore[misc]
                timed = bench.race(work, torch.empty(1))
                title = f"LIF {'forward+backward' if backward else 'forward'}, {list(shape)}, {str(dtype).removeprefix('torch.')}"
                bench.compare(timed, (title, "ours", "SpikingJelly"), "1")
                bench.compare(timed, (title, "ours, 4-bit", "SpikingJelly"), "1")
                bench.compare(timed, (title, "ours", "device copy"), "0.67", "share of the copy's bandwidth", bytes_over_copy)


def training_step(model: nn.Module, x: Tensor, y: Tensor, half: bool, recorded: bool) -> Callable[[], object]:
    """Forward, backward and SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    recording = Recording(model, recorded)

    def compute(x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(step_outputs(model, x, "bfloat16" if half else "float32").mean(0), y)

    def run() -> object:
        loss = recording.loss_of(x, y, compute)
        optimizer.step()
        return loss

    for _ in range(WARM + 1):
        run()
    return waiting(run)


def steps(bench: Bench, jelly: Any, name: str, image: tuple[int, ...], batch: int) -> None:
    """Rows of one network's training step."""
    x, y = torch.rand(batch, *image, device="cuda"), torch.arange(batch, device="cuda") % 10
    for half in (False, True):
        plain = build(name).cuda().train()
        small = quantize(build(name), Recipe(weights=Uniform(bits=4, low=-1.0, high=1.0), state=STATE)).cuda().train()
        work = {
            f"ours, {kind}{how}": training_step(copy.deepcopy(model), x, y, half, bool(how))
            for kind, model in (("float", plain), ("4-bit", small))
            for how in ("", ", recorded")
        }
        if jelly is not None and name.startswith("sew"):
            work["SpikingJelly, float"] = training_step(Jelly(jelly, copy.deepcopy(plain)).cuda().train(), x, y, half, recorded=False)
        timed = bench.race(work, torch.empty(1))
        title = f"{name} step, batch {batch}, {'bfloat16' if half else 'float32'}"
        for own in ("ours, float, recorded", "ours, 4-bit, recorded", "ours, float"):
            bench.compare(timed, (title, own, "SpikingJelly, float"), "1")
        for kind in ("float", "4-bit"):
            bench.compare(timed, (title, f"ours, {kind}, recorded", f"ours, {kind}"), "", "what recording gains")


def main() -> None:
    """Run it."""
    bench = Bench("gpu", __doc__)
    if torch.cuda.is_available():
        bench.environment |= {"gpu": torch.cuda.get_device_name()}
        jelly = bench.peer("spikingjelly.activation_based", "neuron", "surrogate")
        neurons(bench, jelly)
        steps(bench, jelly, "sew-resnet8", (3, 32, 32), 128)
        steps(bench, jelly, "squat-fmnist", (1, 28, 28), 128)
    else:
        bench.absent["gpu"] = "torch finds none: nothing to measure"
        bench.options.save = False  # results of another machine stay
    bench.finish()


if __name__ == "__main__":
    main()
